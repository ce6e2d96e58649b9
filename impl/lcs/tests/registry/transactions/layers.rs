//! Layers that change in a transaction, or under one.

use abi::layout::CreateKeyArgs;

use super::*;

#[test]
fn a_new_precedence_counts_from_the_commit_on() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 0);
    let (key, transaction, within) = prepared(&client);
    client.set(key, "v", 1, "gpo").unwrap();
    client.set(key, "v", 2, "").unwrap();
    within.set(gpo, "Precedence", 5, "").unwrap();
    assert_eq!(within.get(gpo, "Precedence"), Ok((5, "base".to_owned())));
    assert_eq!(within.get(key, "v"), Ok((2, "base".to_owned())));
    let before = client.generation("Machine");
    client.commit(transaction).unwrap();
    assert_eq!(client.get(key, "v"), Ok((1, "gpo".to_owned())));
    assert_eq!(client.generation("Machine"), before + 1);
}

#[test]
fn a_layer_created_in_a_transaction_is_unknown_until_it_commits() {
    let machine = Machine::new();
    let client = machine.client();
    client.layer("other", 0);
    let (key, transaction, within) = prepared(&client);
    let (layer, _) = within.create("Machine\\System\\Registry\\Layers\\gpo", "").unwrap();
    within.set(layer, "Precedence", 5, "").unwrap();
    assert_eq!(within.set(key, "v", 1, "gpo"), Err(Errno::ENOENT));
    client.commit(transaction).unwrap();
    client.set(key, "v", 1, "").unwrap();
    client.set(key, "v", 2, "gpo").unwrap();
    client.set(key, "v", 3, "").unwrap();
    assert_eq!(client.get(key, "v"), Ok((2, "gpo".to_owned())));
}

#[test]
fn the_precedence_of_a_layer_created_in_the_same_transaction_needs_the_privilege() {
    let machine = Machine::new();
    let client = machine.client();
    client.layer("other", 0);
    let (_, _, within) = prepared(&client);
    let (layer, _) = within.create("Machine\\System\\Registry\\Layers\\gpo", "").unwrap();
    let token = Token { privileges: Privileges::NONE, ..Token::system() };
    assert_eq!(within.with_token(token).set(layer, "Precedence", 5, ""), Err(Errno::EPERM));
}

#[test]
fn the_precedence_of_a_layer_needs_the_privilege_also_below_a_layers_key_of_the_transaction() {
    let machine = Machine::new();
    let client = machine.client();
    let (_, _, within) = prepared(&client);
    client.make("Machine\\System\\Registry");
    let (layers, _) = within.create("Machine\\System\\Registry\\LAYERS", "").unwrap();
    let args = CreateKeyArgs { parent_fd: layers, ..within.create_args("gpo", "") };
    let (layer, _) = within.go(|me| async move { me.create_with(args).await }).unwrap();
    let token = Token { privileges: Privileges::NONE, ..Token::system() };
    let poor = within.with_token(token);
    assert_eq!(poor.set(layer, "Precedence", 5, ""), Err(Errno::EPERM));
    assert_eq!(poor.set(layer, "Precedence", 0, ""), Ok(()));
    assert_eq!(poor.set(layers, "Precedence", 5, ""), Ok(()));
}

#[test]
fn an_aborted_transaction_leaves_the_layers() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 0);
    let (key, transaction, within) = prepared(&client);
    within.delete(gpo, "").unwrap();
    within.create("Machine\\System\\Registry\\Layers\\new", "").unwrap();
    client.close(transaction).unwrap();
    client.set(key, "v", 1, "gpo").unwrap();
    assert_eq!(client.set(key, "v", 1, "new"), Err(Errno::ENOENT));
}

#[test]
fn a_layer_deleted_in_a_transaction_is_deleted_at_the_commit() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    let (key, transaction, within) = prepared(&client);
    client.set(key, "v", 1, "gpo").unwrap();
    within.set(key, "w", 1, "gpo").unwrap();
    within.delete(gpo, "").unwrap();
    assert_eq!(machine.source.count(Operation::DeleteLayer), 0);
    client.commit(transaction).unwrap();
    assert_eq!(client.get(key, "v"), Err(Errno::ENOENT));
    assert_eq!(client.set(key, "v", 1, "gpo"), Err(Errno::ENOENT));
    assert_eq!(machine.source.count(Operation::DeleteLayer), 1);
    assert!(machine.source.store().values.keys().all(|(_, _, layer)| layer != "gpo"));
}

#[test]
fn a_layer_created_and_deleted_in_one_transaction_is_nobodys_deletion() {
    let machine = Machine::new();
    let client = machine.client();
    client.layer("other", 0);
    let (_, transaction, within) = prepared(&client);
    let (layer, _) = within.create("Machine\\System\\Registry\\Layers\\gpo", "").unwrap();
    within.delete(layer, "").unwrap();
    client.commit(transaction).unwrap();
    assert_eq!(machine.source.count(Operation::DeleteLayer), 0);
}

#[test]
fn bad_metadata_is_no_fault_of_the_commit() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    let (_, transaction, within) = prepared(&client);
    within.set(gpo, "Enabled", 7, "").unwrap();
    assert_eq!(client.commit(transaction), Ok(()));
}

#[test]
fn a_writer_on_another_source_is_aborted_by_the_deletion_of_its_layer() {
    let machine = Machine::new();
    let client = machine.client();
    let (gpo, other, writer) = writer_on_another_source(&client);
    client.delete(gpo, "").unwrap();
    assert_eq!(client.status(writer), Ok((REG_TXN_ABORTED, Errno::EINVAL as u32)));
    assert_eq!(client.poll(writer), Ok(ENDED));
    assert_eq!(client.within(writer).set(other, "v", 1, ""), Err(Errno::EINVAL));
    assert_eq!(client.within(writer).get(other, "v"), Err(Errno::EINVAL));
    assert_eq!(client.commit(writer), Err(Errno::EINVAL));
    let log = machine.other.store().log.clone();
    let position = |operation| log.iter().position(|logged| *logged == operation).unwrap();
    assert!(position(Operation::AbortTransaction) < position(Operation::DeleteLayer));
}

#[test]
fn a_transaction_that_wrote_into_other_layers_outlives_the_deletion_of_a_layer() {
    let machine = Machine::new();
    let client = machine.client();
    let gpo = client.layer("gpo", 5);
    let other = client.make("Other\\A");
    let writer = client.begin().unwrap();
    client.within(writer).set(other, "v", 1, "").unwrap();
    // The other source cannot delete the layer while the transaction is open there.
    assert_eq!(client.delete(gpo, ""), Err(Errno::EIO));
    assert_eq!(state(&client, writer), REG_TXN_ACTIVE_BOUND);
    client.commit(writer).unwrap();
}
