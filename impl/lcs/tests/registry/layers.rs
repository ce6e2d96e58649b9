//! Layers: how they come, change and go, and what that does to every hive.

use abi::value_type::{REG_DWORD, REG_SZ};
use abi::{Errno, KEY_READ, KEY_SET_VALUE};
use lcs::security::{Group, Privileges, Sid, Token};
use rsi::{Operation, Status};

use crate::client::{Client, Machine};

const LAYERS: &str = "Machine\\System\\Registry\\Layers";

fn base(value: u32) -> Result<(u32, String), Errno> {
    Ok((value, "base".to_owned()))
}

#[test]
fn a_policy_outranks_a_later_local_write_and_lifts_without_a_trace() {
    let client = Machine::new().client();
    let gpo = client.layer("GPO-1", 10);
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "gpo-1").unwrap();
    client.set(fd, "v", 2, "").unwrap();
    assert_eq!(client.get(fd, "v"), Ok((1, "GPO-1".to_owned())));
    client.delete(gpo, "").unwrap();
    assert_eq!(client.get(fd, "v"), base(2));
    assert_eq!(client.set(fd, "v", 3, "gpo-1"), Err(Errno::ENOENT));
}

#[test]
fn a_precedence_takes_effect_before_the_call_returns() {
    let client = Machine::new().client();
    let role = client.layer("role", 0);
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "role").unwrap();
    client.set(fd, "v", 2, "").unwrap();
    assert_eq!(client.get(fd, "v"), base(2));
    client.set(role, "precedence", 1, "").unwrap();
    assert_eq!(client.get(fd, "v"), Ok((1, "role".to_owned())));
    client.set(role, "Enabled", 0, "").unwrap();
    assert_eq!(client.get(fd, "v"), base(2));
    client.set(fd, "w", 3, "role").unwrap();
    client.unset(role, "ENABLED", "").unwrap();
    assert_eq!(client.get(fd, "w"), Ok((3, "role".to_owned())));
}

#[test]
fn deleting_a_layer_reaches_every_source_and_orphans_its_keys() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    let (open, _) = client.create("Machine\\Open", "gpo").unwrap();
    let (shut, _) = client.create("Other\\Shut", "gpo").unwrap();
    client.close(shut).unwrap();
    client.delete(gpo, "").unwrap();
    assert_eq!(machine.source.count(Operation::DeleteLayer), 1);
    assert_eq!(machine.other.count(Operation::DeleteLayer), 1);
    assert_eq!(machine.other.count(Operation::DropKey), 1);
    assert_eq!(machine.source.count(Operation::DropKey), 0);
    assert_eq!(client.open("Machine\\Open"), Err(Errno::ENOENT));
    assert_eq!(client.delete(open, ""), Err(Errno::ENOENT));
    client.close(open).unwrap();
    assert_eq!(machine.source.count(Operation::DropKey), 1);
}

#[test]
fn hiding_a_metadata_key_deletes_its_layer() {
    let machine = Machine::new();
    let client = machine.client();
    client.layer("top", 9);
    let role = client.layer("role", 0);
    let fd = client.make("Machine\\A");
    client.hide(role, "top").unwrap();
    assert_eq!(client.set(fd, "v", 1, "role"), Err(Errno::ENOENT));
    assert_eq!(machine.source.count(Operation::DeleteLayer), 1);
}

#[test]
fn hiding_an_ancestor_deletes_no_layer() {
    let machine = Machine::new();
    let client = machine.client();
    client.layer("top", 9);
    let role = client.layer("role", 0);
    let fd = client.make("Machine\\A");
    let system = client.open("Machine\\System").unwrap();
    client.hide(system, "top").unwrap();
    client.set(fd, "v", 1, "role").unwrap();
    client.set(fd, "v", 2, "").unwrap();
    // While the path leads nowhere the table stays as it is.
    client.set(role, "Precedence", 5, "").unwrap();
    assert_eq!(client.get(fd, "v"), base(2));
    assert_eq!(machine.source.count(Operation::DeleteLayer), 0);
}

#[test]
fn base_survives_its_metadata_key_and_ignores_its_values() {
    let machine = Machine::new();
    let client = machine.client();
    let key = client.layer("Base", 0);
    client.set_with(key, client.set_args("Precedence", REG_SZ, b"x", "")).unwrap();
    client.set(key, "Enabled", 0, "").unwrap();
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "BASE").unwrap();
    assert_eq!(client.get(fd, "v"), base(1));
    client.delete(key, "").unwrap();
    client.set(fd, "v", 2, "").unwrap();
    assert_eq!(machine.source.count(Operation::DeleteLayer), 0);
}

#[test]
fn malformed_metadata_is_stored_and_leaves_the_layer_as_it_was() {
    let client = Machine::new().client();
    let gpo = client.layer("gpo", 5);
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "gpo").unwrap();
    client.set(fd, "v", 2, "").unwrap();
    let generation = client.generation("Machine");
    let bad = client.set_args("Precedence", REG_DWORD, b"abc", "");
    assert_eq!(client.set_with(gpo, bad), Err(Errno::EIO));
    assert_eq!(client.generation("Machine"), generation + 1);
    assert_eq!(client.value(gpo, "Precedence").unwrap().data, b"abc");
    assert_eq!(client.get(fd, "v"), Ok((1, "gpo".to_owned())));
    assert_eq!(client.set(gpo, "Enabled", 2, ""), Err(Errno::EIO));
    client.unset(gpo, "Enabled", "").unwrap_err();
    client.unset(gpo, "Precedence", "").unwrap();
    assert_eq!(client.get(fd, "v"), base(2));
}

#[test]
fn metadata_is_itself_layered_and_refreshes_in_rounds() {
    let client = Machine::new().client();
    let role = client.layer("role", 0);
    let gpo = client.layer("gpo", 0);
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "role").unwrap();
    client.set(fd, "v", 2, "").unwrap();
    // An older entry in base is what counts while gpo has the same precedence.
    client.set(role, "Precedence", 3, "gpo").unwrap();
    client.set(role, "Precedence", 0, "").unwrap();
    assert_eq!(client.get(fd, "v"), base(2));
    // Raising gpo changes role's effective precedence, which the same call takes up.
    client.set(gpo, "Precedence", 9, "").unwrap();
    assert_eq!(client.get(fd, "v"), Ok((1, "role".to_owned())));
}

#[test]
fn writing_into_a_layer_needs_the_right_on_its_metadata_key() {
    let machine = Machine::new();
    let client = machine.client();
    client.layer("role", 0);
    let fd = client.make("Machine\\A");
    let mut token = Token::user(Sid::new(5, &[21, 1, 2, 3, 1000]).unwrap());
    token.groups.push(Group::enabled(Sid::AUTHENTICATED_USERS));
    let user = client.with_token(token);
    assert_eq!(user.set(fd, "v", 1, "role"), Err(Errno::EACCES));
    assert_eq!(user.set(fd, "v", 1, ""), Err(Errno::EACCES));
    assert_eq!(user.unset(fd, "v", ""), Err(Errno::EACCES));
    assert_eq!(user.blanket(fd, "", true), Err(Errno::EACCES));
    assert_eq!(user.hide(fd, ""), Err(Errno::EACCES));
    assert_eq!(user.delete(fd, ""), Err(Errno::EACCES));
}

#[test]
fn raising_a_precedence_needs_the_privilege_whatever_the_case_of_the_name() {
    let machine = Machine::new();
    let client = machine.client();
    let role = client.layer("role", 0);
    let mut token = Token::system();
    token.privileges = Privileges::NONE;
    let poor = client.with_token(token);
    let requests = machine.source.store().log.len();
    assert_eq!(poor.set(role, "PRECEDENCE", 1, ""), Err(Errno::EPERM));
    assert_eq!(machine.source.store().log.len(), requests);
    poor.set(role, "Precedence", 0, "").unwrap();
    let elsewhere = poor.make("Machine\\A");
    poor.set(elsewhere, "Precedence", 1, "").unwrap();
    let below = poor.make(&format!("{LAYERS}\\role\\deeper"));
    poor.set(below, "Precedence", 1, "").unwrap();
}

#[test]
fn latent_entries_count_once_their_layer_comes() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "").unwrap();
    client.set(fd, "v", 2, "gpo").unwrap();
    machine.source.store().refusals.insert(Operation::DeleteLayer, Status::StorageError);
    assert_eq!(client.delete(gpo, ""), Err(Errno::EIO));
    assert_eq!(client.get(fd, "v"), base(1));
    machine.source.store().refusals.clear();
    client.layer("GPO", 0);
    assert_eq!(client.get(fd, "v"), Ok((2, "GPO".to_owned())));
}

/// A layer with a value, and a refusal of its deletion.
fn refused_deletion(machine: &Machine) -> (Client, i32) {
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "").unwrap();
    client.set(fd, "v", 2, "gpo").unwrap();
    machine.source.store().refusals.insert(Operation::DeleteLayer, Status::StorageError);
    assert_eq!(client.delete(gpo, ""), Err(Errno::EIO));
    machine.source.store().refusals.clear();
    (client, fd)
}

#[test]
fn a_deletion_that_was_refused_is_asked_for_again_when_the_source_is_back() {
    let mut machine = Machine::new();
    let (client, fd) = refused_deletion(&machine);
    assert_eq!(client.get(fd, "v"), base(1));
    machine.restart();
    assert_eq!(machine.source.count(Operation::DeleteLayer), 2);
    client.layer("gpo", 5);
    assert_eq!(client.get(fd, "v"), base(1));
}

#[test]
fn a_deletion_that_was_refused_takes_nothing_from_a_later_layer_of_the_name() {
    let mut machine = Machine::new();
    let (client, fd) = refused_deletion(&machine);
    client.layer("GPO", 5);
    client.set(fd, "w", 3, "gpo").unwrap();
    machine.restart();
    assert_eq!(client.get(fd, "w"), Ok((3, "GPO".to_owned())));
    assert_eq!(client.get(fd, "v"), Ok((2, "GPO".to_owned())));
}

#[test]
fn a_deletion_that_was_refused_is_settled_by_a_later_one_that_is_done() {
    let mut machine = Machine::new();
    let (client, _) = refused_deletion(&machine);
    // With bad metadata it is not published, and deleted all the same.
    let transaction = client.begin().unwrap();
    let within = client.within(transaction);
    let (gpo, _) = within.create(&format!("{LAYERS}\\gpo"), "").unwrap();
    within.set(gpo, "Enabled", 7, "").unwrap();
    client.commit(transaction).unwrap();
    client.delete(gpo, "").unwrap();
    assert_eq!(machine.source.count(Operation::DeleteLayer), 2);
    machine.restart();
    assert_eq!(machine.source.count(Operation::DeleteLayer), 2);
}

#[test]
fn a_replay_that_is_refused_is_not_repeated_onto_a_layer_of_the_name() {
    let mut machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    let fd = client.make("Other\\A");
    client.set(fd, "v", 2, "gpo").unwrap();
    machine.other.kill();
    client.delete(gpo, "").unwrap();
    client.layer("gpo", 5);
    machine.other.store().refusals.insert(Operation::DeleteLayer, Status::StorageError);
    machine.restart_other();
    machine.other.store().refusals.clear();
    client.set(fd, "w", 3, "gpo").unwrap();
    machine.restart_other();
    assert_eq!(client.get(fd, "w"), Ok((3, "gpo".to_owned())));
}

/// Commits a change of two layers of which one, in its new state, hides the other.
fn hidden_by_the_same_commit(machine: &Machine) -> (Client, i32) {
    let client = machine.client();
    let hiding = client.layer("a", 1);
    let hidden = client.layer("b", 2);
    let fd = client.make("Other\\A");
    client.set(fd, "v", 1, "b").unwrap();
    client.set(hiding, "Enabled", 0, "").unwrap();
    client.hide(hidden, "a").unwrap();
    let transaction = client.begin().unwrap();
    let within = client.within(transaction);
    within.set(hiding, "Enabled", 1, "").unwrap();
    within.set(hidden, "Precedence", 3, "").unwrap();
    client.commit(transaction).unwrap();
    assert_eq!(client.get(fd, "v"), Ok((1, "b".to_owned())));
    (client, fd)
}

#[test]
fn a_name_that_changes_again_after_its_turn_is_dirty_in_the_next_refresh() {
    let machine = Machine::new();
    let (client, fd) = hidden_by_the_same_commit(&machine);
    client.layer("c", 0);
    assert_eq!(client.get(fd, "v"), Err(Errno::ENOENT));
    assert_eq!(client.set(fd, "v", 1, "b"), Err(Errno::ENOENT));
    assert_eq!(machine.other.count(Operation::DeleteLayer), 1);
}

#[test]
fn a_name_that_changes_again_after_its_turn_is_dirty_at_a_resumption() {
    let mut machine = Machine::new();
    let (client, fd) = hidden_by_the_same_commit(&machine);
    machine.restart();
    assert_eq!(client.get(fd, "v"), Err(Errno::ENOENT));
    assert_eq!(machine.other.count(Operation::DeleteLayer), 1);
}

#[test]
fn a_layer_that_hid_itself_is_new_after_the_next_refresh() {
    let machine = Machine::new();
    let client = machine.client();
    let own = client.layer("own", 2);
    let fd = client.make("Machine\\A");
    client.hide(own, "own").unwrap();
    assert_eq!(client.set(fd, "v", 1, "own"), Err(Errno::ENOENT));
    client.layer("c", 0);
    client.set(fd, "v", 1, "own").unwrap();
}

#[test]
fn a_deletion_that_is_refused_at_a_registration_is_owed() {
    let mut machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    client.set(gpo, "Enabled", 1, "").unwrap();
    client.create(&format!("{LAYERS}\\role"), "gpo").unwrap();
    let fd = client.make("Other\\A");
    client.set(fd, "v", 1, "role").unwrap();
    machine.other.store().refusals.insert(Operation::DeleteLayer, Status::StorageError);
    machine.source.kill();
    store_number(&machine, "gpo", "enabled", 0);
    machine.restart();
    assert_eq!(client.get(fd, "v"), Err(Errno::ENOENT));
    machine.other.store().refusals.clear();
    machine.restart_other();
    assert_eq!(machine.other.count(Operation::DeleteLayer), 2);
    assert!(machine.other.store().values.is_empty());
}

#[test]
fn the_same_malformed_metadata_once_more_changes_nothing() {
    let client = Machine::new().client();
    let gpo = client.layer("gpo", 5);
    let bad = || client.set_args("Precedence", REG_DWORD, b"abc", "");
    assert_eq!(client.set_with(gpo, bad()), Err(Errno::EIO));
    assert_eq!(client.set_with(gpo, bad()), Ok(()));
}

#[test]
fn a_deletion_that_a_down_source_missed_is_replayed_before_anything_else() {
    let mut machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    let fd = client.make("Other\\A");
    client.set(fd, "v", 2, "gpo").unwrap();
    machine.other.kill();
    client.delete(gpo, "").unwrap();
    client.layer("gpo", 5);
    machine.other.start(&machine.world, &machine.lcs).unwrap();
    assert_eq!(client.get(fd, "v"), Err(Errno::ENOENT));
    machine.settle();
    assert_eq!(machine.other.count(Operation::DeleteLayer), 1);
}

fn generations(client: &Client) -> (u64, u64, u64) {
    (client.generation("Machine"), client.generation("Users"), client.generation("Other"))
}

#[test]
fn a_layer_operation_steps_its_own_hive_and_those_it_affects() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 0);
    let fd = client.make("Other\\A");
    client.set(fd, "v", 1, "gpo").unwrap();
    let (machine_0, users, other) = generations(&client);
    // Nothing competes with the value, so a precedence changes no view.
    client.set(gpo, "Precedence", 5, "").unwrap();
    assert_eq!(generations(&client), (machine_0 + 1, users, other));
    client.set(gpo, "Enabled", 0, "").unwrap();
    assert_eq!(generations(&client), (machine_0 + 2, users, other + 1));
    client.set(gpo, "Enabled", 1, "").unwrap();
    client.delete(gpo, "").unwrap();
    assert_eq!(generations(&client), (machine_0 + 4, users, other + 3));
}

#[test]
fn a_new_boot_reads_the_layers_that_are_there() {
    let mut machine = Machine::new();
    let client = machine.client();
    client.layer("gpo", 5);
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "gpo").unwrap();
    client.set(fd, "v", 2, "").unwrap();
    let sequence = machine.source.store().max_sequence();
    machine.source.kill();
    machine.lcs = lcs::Lcs::new(machine.world.env.clone());
    machine.source.start(&machine.world, &machine.lcs).unwrap();
    machine.settle();
    let client = machine.client();
    let fd = client.open("Machine\\A").unwrap();
    assert_eq!(client.get(fd, "v"), Ok((1, "gpo".to_owned())));
    client.set(fd, "w", 1, "").unwrap();
    assert_eq!(client.value(fd, "w").unwrap().sequence, sequence + 1);
    let access = KEY_READ | KEY_SET_VALUE;
    let open = move |me: Client| async move { me.open_at(-1, LAYERS, access, 0).await };
    assert!(client.go(open).is_ok());
}

#[test]
fn a_resumed_source_that_lost_a_metadata_key_loses_the_layer() {
    let mut machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    let fd = client.make("Other\\A");
    client.set(fd, "v", 1, "gpo").unwrap();
    client.close(gpo).unwrap();
    machine.source.kill();
    machine.source.store().entries.retain(|(_, name, _), _| name != "gpo");
    machine.restart();
    assert_eq!(client.get(fd, "v"), Err(Errno::ENOENT));
    assert_eq!(machine.other.count(Operation::DeleteLayer), 1);
}

/// Changes a number that base holds for a layer, as no call does it.
fn store_number(machine: &Machine, layer: &str, name: &str, number: u32) {
    let mut store = machine.source.store();
    let mut entries = store.entries.iter().filter(|((_, name, _), _)| name == layer);
    let guid = entries.find_map(|(_, (_, entry))| entry.target).expect("a layer of this name");
    let entry = store.values.get_mut(&(guid, name.to_owned(), "base".to_owned()));
    entry.expect("a value of this name").data = number.to_le_bytes().to_vec();
}

#[test]
fn a_resumption_reads_again_what_its_own_reading_changes() {
    let mut machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    client.set(gpo, "Enabled", 1, "").unwrap();
    let role = client.layer("role", 0);
    client.layer("other", 3);
    client.set(role, "Precedence", 9, "gpo").unwrap();
    let fd = client.make("Other\\A");
    client.set(fd, "v", 1, "role").unwrap();
    client.set(fd, "v", 2, "other").unwrap();
    machine.source.kill();
    store_number(&machine, "gpo", "enabled", 0);
    machine.restart();
    assert_eq!(client.get(fd, "v"), Ok((2, "other".to_owned())));
}

#[test]
fn a_layer_without_a_steady_state_is_after_a_resumption_as_it_was() {
    let mut machine = Machine::new();
    let client = machine.client();
    let role = client.layer("role", 0);
    let fd = client.make("Other\\A");
    client.set(fd, "v", 1, "role").unwrap();
    client.set(role, "Enabled", 0, "role").unwrap();
    assert_eq!(client.get(fd, "v"), Err(Errno::ENOENT));
    machine.restart();
    assert_eq!(client.get(fd, "v"), Err(Errno::ENOENT));
    client.layer("other", 0);
    assert_eq!(client.get(fd, "v"), Err(Errno::ENOENT));
}

#[test]
fn what_a_resumption_takes_out_of_view_is_deleted_once() {
    let mut machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    client.set(gpo, "Enabled", 1, "").unwrap();
    client.create(&format!("{LAYERS}\\role"), "gpo").unwrap();
    let fd = client.make("Other\\A");
    client.set(fd, "v", 1, "role").unwrap();
    machine.source.kill();
    store_number(&machine, "gpo", "enabled", 0);
    machine.restart();
    assert_eq!(client.get(fd, "v"), Err(Errno::ENOENT));
    assert_eq!(machine.other.count(Operation::DeleteLayer), 1);
}

#[test]
fn a_write_through_an_orphaned_metadata_key_reads_no_layer() {
    let machine = Machine::new();
    let client = machine.client();
    let old = client.layer("role", 0);
    client.delete(old, "").unwrap();
    let new = client.layer("role", 0);
    let asked = machine.source.count(Operation::EnumChildren);
    client.set(old, "Precedence", 1, "").unwrap();
    client.unset(old, "Precedence", "").unwrap();
    assert_eq!(machine.source.count(Operation::EnumChildren), asked);
    client.set(new, "Precedence", 1, "").unwrap();
    assert!(machine.source.count(Operation::EnumChildren) > asked);
}

#[test]
fn a_layers_key_that_is_replaced_leaves_the_layers_of_the_old_one() {
    let machine = Machine::new();
    let client = machine.client();
    client.layer("top", 9);
    client.layer("role", 0);
    let layers = client.open(LAYERS).unwrap();
    client.hide(layers, "top").unwrap();
    let (new, _) = client.create(LAYERS, "top").unwrap();
    let fd = client.make("Machine\\A");
    client.set(fd, "v", 1, "role").unwrap();
    client.set(fd, "v", 2, "top").unwrap();
    let mut args = client.create_args("extra", "");
    args.parent_fd = new;
    client.go(|me| async move { me.create_with(args).await }).unwrap();
    client.set(fd, "v", 3, "extra").unwrap();
    assert_eq!(machine.source.count(Operation::DeleteLayer), 0);
}

#[test]
fn other_values_of_a_metadata_key_refresh_nothing() {
    let client = Machine::new().client();
    let gpo = client.layer("gpo", 5);
    let bad = client.set_args("Precedence", REG_DWORD, b"abc", "");
    assert_eq!(client.set_with(gpo, bad), Err(Errno::EIO));
    assert_eq!(client.set_with(gpo, client.set_args("Comment", REG_SZ, b"x", "")), Ok(()));
}

/// A metadata key of this name that no call has made.
fn store_layer(machine: &Machine, name: &str) {
    let client = machine.client();
    client.make("Machine\\Elsewhere");
    let layers = client.make(LAYERS);
    client.close(layers).unwrap();
    let mut store = machine.source.store();
    let target = |child: &str| {
        let entry = store.entries.iter().find(|((_, name, _), _)| name == child);
        entry.and_then(|(_, (_, entry))| entry.target).expect("a key of this name")
    };
    let (below, elsewhere) = (target("layers"), target("elsewhere"));
    let mut entries = store.entries.iter();
    let old = entries.find(|(_, (_, entry))| entry.target == Some(elsewhere));
    let old = old.expect("an entry").0.clone();
    let (_, entry) = store.entries.remove(&old).expect("an entry");
    store.entries.insert((below, name.to_owned(), old.2), (name.into(), entry));
}

#[test]
fn a_layer_that_no_call_made_is_there_from_the_first_change_of_it() {
    let machine = Machine::new();
    let client = machine.client();
    let fd = client.make("Machine\\A");
    client.layer("role", 0);
    store_layer(&machine, "ghost");
    let ghost = client.open(&format!("{LAYERS}\\ghost")).unwrap();
    assert_eq!(client.set(fd, "v", 1, "ghost"), Err(Errno::ENOENT));
    client.set(ghost, "Precedence", 3, "").unwrap();
    client.set(fd, "v", 1, "ghost").unwrap();
    client.set(fd, "v", 2, "").unwrap();
    assert_eq!(client.get(fd, "v"), Ok((1, "ghost".to_owned())));
}

#[test]
fn a_layer_that_no_call_made_takes_its_entries_along() {
    for hides in [false, true] {
        let machine = Machine::new();
        let client = machine.client();
        client.layer("role", 0);
        store_layer(&machine, "ghost");
        let ghost = client.open(&format!("{LAYERS}\\ghost")).unwrap();
        let removed = if hides { client.hide(ghost, "") } else { client.delete(ghost, "") };
        removed.unwrap();
        assert_eq!(machine.source.count(Operation::DeleteLayer), 1);
        assert_eq!(machine.other.count(Operation::DeleteLayer), 1);
    }
}
