//! How long requests take, in memory and in SQLite on the simulated disk and on real files.
//!
//! `cargo run --release -p stores --example speed`

use std::time::Instant;

use rsi::{Guid, Request, RequestFrame, RequestId, Response};
use simulated_disk::Disk;
use stores::{MemoryConfig, MemoryDisk, MemoryStore, SqliteConfig, SqliteStore, Store};

fn main() {
    let keys: u32 = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1000);
    let random = || -> stores::RandomSource { Box::new(|bytes| bytes.fill(3)) };
    let hives = vec!["Machine".to_owned()];
    let disk = MemoryDisk::new();
    measure(
        "memory",
        keys,
        MemoryStore::open(MemoryConfig { hives, disk, random: random(), now: 0 }),
    );

    let disk = Disk::new(1);
    let sqlite = |path, vfs| {
        SqliteStore::open(SqliteConfig {
            hives: vec![("Machine".to_owned(), path)],
            vfs,
            incarnation: "speed".to_owned(),
            random: random(),
            now: 0,
        })
    };
    match sqlite(disk.path("machine.db"), Some(disk.vfs_name().to_owned())) {
        Ok(store) => measure("sqlite, simulated disk", keys, store),
        Err(error) => println!("{error}"),
    }
    let directory = std::env::temp_dir().join(format!("stores-speed-{}", std::process::id()));
    if std::fs::create_dir_all(&directory).is_ok() {
        match sqlite(directory.join("machine.db"), None) {
            Ok(store) => measure("sqlite, real files", keys, store),
            Err(error) => println!("{error}"),
        }
        let _ = std::fs::remove_dir_all(&directory);
    }
    open_and_close();
}

fn open_and_close() {
    const ROUNDS: u32 = 200;
    let begin = Instant::now();
    for round in 0..ROUNDS {
        let disk = Disk::new(1000 + u64::from(round));
        let config = SqliteConfig {
            hives: vec![("Machine".to_owned(), disk.path("machine.db"))],
            vfs: Some(disk.vfs_name().to_owned()),
            incarnation: format!("open-{round}"),
            random: Box::new(|bytes| bytes.fill(3)),
            now: 0,
        };
        drop(SqliteStore::open(config));
    }
    println!("{:>26}: {:8.2} us", "create a hive and close it", micros(begin, ROUNDS));
}

fn micros(begin: Instant, count: u32) -> f64 {
    begin.elapsed().as_secs_f64() * 1e6 / f64::from(count)
}

fn measure(name: &str, keys: u32, mut store: impl Store) {
    let root = store.hives()[0].root;
    let mut id = 0;
    let mut call = |request| -> Response {
        id += 1;
        store.submit(RequestFrame { id: RequestId(id), transaction: None, request }, 0);
        store.poll(0).map_or(Response::Done, |frame| frame.response)
    };
    println!("{name}, {keys} keys, microseconds a request");
    let guid = |index: u32| {
        let mut guid = Guid([9; 16]);
        guid.0[..4].copy_from_slice(&index.wrapping_mul(0x9e37_79b9).to_le_bytes());
        guid
    };
    let name_of = |index: u32| format!("Key number {index}").into_bytes();
    let layer = || b"base".to_vec();
    let sd = || vec![1; 116];
    time("create entry", keys, |index| {
        call(Request::CreateEntry {
            parent: root,
            child_name: name_of(index),
            layer: layer(),
            child: guid(index),
            sequence: u64::from(index),
        })
    });
    time("create key", keys, |index| {
        let (guid, name, sd) = (guid(index), name_of(index), sd());
        call(Request::CreateKey {
            guid,
            name,
            parent: root,
            sd,
            volatile_key: false,
            symlink: false,
        })
    });
    let set = |index: u32, sequence| Request::SetValue {
        guid: guid(index),
        value_name: b"Value".to_vec(),
        layer: layer(),
        value_type: 4,
        data: vec![1, 2, 3, 4],
        sequence,
        expected_sequence: 0,
    };
    time("set value (new)", keys, |index| call(set(index, 1)));
    time("set value (replace)", keys, |index| call(set(index, 2)));
    time("lookup", keys, |index| {
        call(Request::Lookup { parent: root, child_name: name_of(index) })
    });
    time("query value", keys, |index| {
        call(Request::QueryValues {
            guid: guid(index),
            value_name: b"value".to_vec(),
            query_all: false,
        })
    });
    time("read key", keys, |index| call(Request::ReadKey { guid: guid(index) }));
    time("write key (time)", keys, |index| {
        call(Request::WriteKey {
            guid: guid(index),
            sd: None,
            last_write_time: Some(5),
            undefined_fields: 0,
        })
    });
    time("set value, then query", keys, |index| {
        call(set(index, 3));
        call(Request::QueryValues {
            guid: guid(index),
            value_name: b"value".to_vec(),
            query_all: false,
        })
    });
    time("drop key", keys, |index| call(Request::DropKey { guid: guid(index) }));
}

fn time(what: &str, count: u32, mut request: impl FnMut(u32) -> Response) {
    let begin = Instant::now();
    for index in 0..count {
        if let Response::Failed(status) = request(index) {
            println!("{what}: {status:?}");
            return;
        }
    }
    println!("{what:>26}: {:8.2}", micros(begin, count));
}
