//! Values: types, tombstones, blankets, conditional writes, buffers.

use expect_test::expect;
use registry_model::errno::Errno;
use registry_model::{Call, Observation};

use crate::world::{World, check, errno, open, query, write};

#[test]
fn the_latest_write_wins_within_a_precedence() {
    check(
        "layer role 0
         create Machine\\k
         set Machine\\k v one
         set Machine\\k V two in role
         get Machine\\k v
         set Machine\\k v three
         get Machine\\k v
         batch Machine\\k",
        expect![[r#"
            layer role 0
              -> created, ok
            create Machine\k
              -> created
            set Machine\k v one
              -> ok
            set Machine\k V two in role
              -> ok
            get Machine\k v
              -> sz "two" from role, sequence 8
            set Machine\k v three
              -> ok
            get Machine\k v
              -> sz "three" from base, sequence 9
            batch Machine\k
              -> 1 values: "v" = sz "three"
        "#]],
    );
}

#[test]
fn a_higher_layer_wins_and_lifts() {
    check(
        "layer gpo 10
         create Machine\\k
         set Machine\\k v high in GPO
         set Machine\\k v low
         get Machine\\k v
         delete Machine\\System\\Registry\\Layers\\gpo
         get Machine\\k v",
        expect![[r#"
            layer gpo 10
              -> created, ok
            create Machine\k
              -> created
            set Machine\k v high in GPO
              -> ok
            set Machine\k v low
              -> ok
            get Machine\k v
              -> sz "high" from gpo, sequence 7
            delete Machine\System\Registry\Layers\gpo
              -> ok
            get Machine\k v
              -> sz "low" from base, sequence 8
        "#]],
    );
}

#[test]
fn tombstones_mask_what_is_below() {
    check(
        "layer gpo 10
         create Machine\\k
         set Machine\\k v low
         tombstone Machine\\k v in gpo
         get Machine\\k v
         unset Machine\\k v in gpo
         get Machine\\k v
         unset Machine\\k v in gpo",
        expect![[r#"
            layer gpo 10
              -> created, ok
            create Machine\k
              -> created
            set Machine\k v low
              -> ok
            tombstone Machine\k v in gpo
              -> ok
            get Machine\k v
              -> ENOENT
            unset Machine\k v in gpo
              -> ok
            get Machine\k v
              -> sz "low" from base, sequence 7
            unset Machine\k v in gpo
              -> ok
        "#]],
    );
}

#[test]
fn a_blanket_masks_every_earlier_value_of_its_tier() {
    check(
        "layer gpo 10
         create Machine\\k
         set Machine\\k a low
         set Machine\\k b old in gpo
         blanket Machine\\k on in gpo
         set Machine\\k c new in gpo
         set Machine\\k d low
         batch Machine\\k
         blanket Machine\\k off in gpo
         batch Machine\\k",
        expect![[r#"
            layer gpo 10
              -> created, ok
            create Machine\k
              -> created
            set Machine\k a low
              -> ok
            set Machine\k b old in gpo
              -> ok
            blanket Machine\k on in gpo
              -> ok
            set Machine\k c new in gpo
              -> ok
            set Machine\k d low
              -> ok
            batch Machine\k
              -> 1 values: "c" = sz "new"
            blanket Machine\k off in gpo
              -> ok
            batch Machine\k
              -> 4 values: "a" = sz "low", "b" = sz "old", "c" = sz "new", "d" = sz "low"
        "#]],
    );
}

#[test]
fn the_default_value_has_no_name() {
    check(
        "create Machine\\k\nset Machine\\k @ x\nget Machine\\k @",
        expect![[r#"
        create Machine\k
          -> created
        set Machine\k @ x
          -> ok
        get Machine\k @
          -> sz "x" from base, sequence 5
    "#]],
    );
}

struct Key(World, i32);

impl Key {
    fn new() -> Key {
        let mut world = World::with_layers();
        world.transcript("create Machine\\k");
        let (opened, _) = world.call(open("Machine\\k"));
        let Observation::Opened { fd, .. } = opened else { panic!("{opened}") };
        Key(world, fd)
    }

    fn answer(&mut self, call: Call) -> String {
        self.0.call(call).0.to_string()
    }

    fn conditional(&mut self, expected_sequence: u64) -> String {
        let mut call = write(self.1, "v", 1, b"x", b"");
        if let Call::SetValue { expected_sequence: expected, .. } = &mut call {
            *expected = expected_sequence;
        }
        self.answer(call)
    }
}

#[test]
fn a_conditional_write_needs_the_layers_own_number() {
    let mut key = Key::new();
    let first = key.0.state.next_sequence();
    assert_eq!(key.conditional(first), "EAGAIN");
    assert_eq!(key.conditional(0), "ok");
    assert_eq!(key.conditional(first), "EAGAIN");
    assert_eq!(key.conditional(first + 1), "ok");
    // A refused number is consumed (D-31).
    assert_eq!(key.0.state.next_sequence(), first + 4);
}

#[test]
fn failed_validation_consumes_no_number() {
    let mut key = Key::new();
    let first = key.0.state.next_sequence();
    let fd = key.1;
    let big = vec![0; 1_048_577];
    for (call, expected) in [
        (write(fd, "v", 12, b"", b""), "EINVAL"),
        (write(fd, "v", 0xFFFF, b"x", b""), "EINVAL"),
        (write(fd, "v", 3, &big, b""), "ENOSPC"),
        (write(fd, "v", 3, &big[1..], b"nobody"), "ENOENT"),
        (write(fd, "a\0", 3, b"", b""), "EINVAL"),
        (write(fd, "v", 3, b"", b"a\\b"), "EINVAL"),
        (write(77, "v", 3, b"", b""), "EBADF"),
        (Call::BlanketTombstone { fd, layer: Vec::new(), set: 2, transaction: -1 }, "EINVAL"),
    ] {
        assert_eq!(key.answer(call.clone()), expected, "{call:?}");
    }
    assert_eq!(key.0.state.next_sequence(), first);
    assert_eq!(key.answer(write(fd, "v", 3, &big[1..], b"")), "ok");
}

#[test]
fn both_buffers_of_a_query_must_fit() {
    let mut key = Key::new();
    let fd = key.1;
    key.answer(write(fd, "v", 3, b"abc", b""));
    let mut probe = |data_capacity, layer_capacity| {
        let mut call = query(fd, "v");
        if let Call::QueryValue { data_capacity: data, layer_capacity: layer, .. } = &mut call {
            (*data, *layer) = (data_capacity, layer_capacity);
        }
        key.answer(call)
    };
    assert_eq!(probe(0, 0), "ERANGE data=3 layer=4");
    assert_eq!(probe(3, 3), "ERANGE data=3 layer=4");
    assert_eq!(probe(2, 4), "ERANGE data=3 layer=4");
    assert_eq!(probe(3, 4), "binary 616263 from base, sequence 5");
}

#[test]
fn the_layers_of_one_value_are_counted() {
    let mut key = Key::new();
    let fd = key.1;
    for number in 0..128 {
        key.0.transcript(&format!("layer l{number} 0"));
        assert_eq!(key.answer(write(fd, "v", 1, b"", format!("l{number}").as_bytes())), "ok");
    }
    assert_eq!(key.answer(write(fd, "v", 1, b"", b"")), "ENOSPC");
    assert_eq!(key.answer(write(fd, "v", 1, b"", b"l7")), "ok");
    assert_eq!(key.answer(write(fd, "w", 1, b"", b"")), "ok");
}

#[test]
fn a_right_that_the_fd_lacks_is_denied_before_the_name_is_read() {
    let mut key = Key::new();
    let call = Call::OpenKey {
        parent: -1,
        path: b"Machine\\k".to_vec(),
        desired_access: registry_model::security::rights::KEY_QUERY_VALUE,
        flags: 0,
    };
    let (Observation::Opened { fd, .. }, _) = key.0.call(call) else { panic!("not opened") };
    assert_eq!(key.answer(write(fd, "\0", 1, b"", b"")), "EACCES");
    let (answer, _) = key.0.call(Call::Flush { fd });
    assert_eq!(errno(&answer), Some(Errno::EACCES));
}
