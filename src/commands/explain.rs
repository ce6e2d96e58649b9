//! `lockstep explain`: the state of a script after a step, or one contest in it.

use conformance::campaign::Runner;
use conformance::lockstep::{Options, Verdict};
use registry_model::security::Token;
use registry_model::view::View;

use super::{CommandResult, Exit, read_script, runner};
use crate::ExplainArguments;

/// Runs the script to the step and shows what the model makes of it.
pub fn explain(arguments: &ExplainArguments) -> CommandResult {
    let (_, script) = read_script(&arguments.file)?;
    let steps = script.plan.steps.len();
    let at = arguments.at.unwrap_or(steps);
    if at > steps {
        return Err(format!("the script has {steps} steps; --at {at} is past its end"));
    }
    let options = Options { steps_max: Some(at), record_requests: true, ..Options::default() };
    let run = runner(arguments.store).run(&script.plan, script.seed.unwrap_or(0), options);
    let exit = match &run.verdict {
        Verdict::Conforms => Exit::Conforms,
        Verdict::Diverges(divergence) => {
            println!(
                "The target diverges at step {}: {}. This is the state before it.\n",
                divergence.step + 1,
                divergence.what
            );
            Exit::Divergence
        }
        Verdict::Indeterminate(reason) => {
            println!("undecided: {reason}");
            Exit::Indeterminate
        }
        Verdict::Outside(what) => {
            println!("outside this edition: {what}. This is the state before it.\n");
            Exit::Indeterminate
        }
        Verdict::HarnessFault(fault) => {
            println!("harness fault: {fault}");
            return Ok(Exit::HarnessFault);
        }
    };
    let plan = script.plan.with_defaults();
    let viewer = match &arguments.viewer {
        None => 0,
        Some(name) => {
            plan.actors.iter().position(|actor| actor.name == *name).ok_or_else(|| {
                format!("the script has no actor {name:?}; name one that it declares")
            })?
        }
    };
    // What the actor's thread has by then.
    let token = run.tokens.get(viewer).unwrap_or(&plan.actors[viewer].token);
    if run.states.len() > 1 {
        println!("{} states agree with what was seen; this is the first.\n", run.states.len());
    }
    let state = &run.states[0];
    println!("after step {at}, layers:");
    for layer in state.layers() {
        let enabled = if layer.enabled { "" } else { ", disabled" };
        println!("  {} precedence {}{enabled}", layer.name, layer.precedence);
    }
    println!("as {} sees it{}", plan.actors[viewer].name, private_layers(token));
    println!();
    if let Some(requests) = at.checked_sub(1).and_then(|step| run.requests.get(step)) {
        println!("step {at} sent:");
        for request in requests {
            println!("  {request}");
        }
        println!();
    }
    if let Some(audits) = at.checked_sub(1).and_then(|step| run.audits.get(step))
        && !audits.is_empty()
    {
        println!("step {at} audited:");
        for audit in audits {
            println!("  {audit}");
        }
        println!();
    }
    match &arguments.path {
        None => print_view(&state.view(token)),
        Some(path) => {
            let parts: Vec<String> = path.split(['\\', '/']).map(str::to_owned).collect();
            println!("{}", state.explain(&parts, arguments.value.as_deref(), token));
        }
    }
    Ok(exit)
}

fn private_layers(token: &Token) -> String {
    let layers = &token.0.private_layers;
    if layers.is_empty() {
        return String::new();
    }
    format!(", with the private layers {}", layers.join(", "))
}

fn print_view(view: &View) {
    for (path, key) in view {
        match key {
            None => println!("{} (not visible)", path.join("\\")),
            Some(key) => {
                println!("{}", path.join("\\"));
                for part in &key.unreadable {
                    println!("  ({part:?} unreadable)");
                }
                for (name, value) in &key.values {
                    println!(
                        "  {name:?} = type {} \"{}\" from {}, sequence {}",
                        value.value_type,
                        value.data.escape_ascii(),
                        value.layer,
                        value.sequence
                    );
                }
            }
        }
    }
}
