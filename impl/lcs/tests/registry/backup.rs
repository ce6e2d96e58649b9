//! Backups and restores: what is in a stream, who may make and take one, and what becomes of everybody
//! else meanwhile.

mod bytes;
mod damage;
mod following;
mod gate;
mod pipe;
mod reading;
mod restoring;
mod writing;

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use abi::layout::{BackupArgs, RestoreArgs};
use abi::{Structure, ioctl};
use rsi::{BlanketEntry, Guid, PathEntry, ValueEntry};

use self::pipe::Pipe;
use crate::client::{Answer, Client};
use crate::source::{Key, Store, folded, root_descriptor};

/// What a call that was started has come to.
type Outcome<T> = Rc<RefCell<Option<T>>>;

impl Client {
    /// An fd of a stream.
    fn stream(&self, pipe: &Arc<Pipe>) -> i32 {
        self.lcs.install_stream(&self.process, Arc::clone(pipe) as Arc<dyn lcs::Stream>).unwrap()
    }

    async fn backup_now(&self, fd: i32, output_fd: i32) -> Answer<()> {
        let address = self.memory.put(&BackupArgs { output_fd }.to_bytes());
        self.ioctl_at(fd, ioctl::REG_IOC_BACKUP, address).await.map(|_| ())
    }

    async fn restore_now(&self, fd: i32, input_fd: i32) -> Answer<()> {
        let address = self.memory.put(&RestoreArgs { input_fd }.to_bytes());
        self.ioctl_at(fd, ioctl::REG_IOC_RESTORE, address).await.map(|_| ())
    }

    fn backup_to(&self, fd: i32, output_fd: i32) -> Answer<()> {
        self.go(move |me| async move { me.backup_now(fd, output_fd).await })
    }

    fn restore_from(&self, fd: i32, input_fd: i32) -> Answer<()> {
        self.go(move |me| async move { me.restore_now(fd, input_fd).await })
    }

    /// All bytes of a backup.
    fn backup(&self, fd: i32) -> Answer<Vec<u8>> {
        let pipe = Pipe::to_write();
        let output = self.stream(&pipe);
        let result = self.backup_to(fd, output);
        self.close(output).unwrap();
        result.map(|()| pipe.take())
    }

    fn restore(&self, fd: i32, bytes: &[u8]) -> Answer<()> {
        let input = self.stream(&Pipe::to_read(bytes));
        let result = self.restore_from(fd, input);
        self.close(input).unwrap();
        result
    }

    /// Starts a restore from a pipe, which goes on as far as the pipe lets it.
    fn start_restore(&self, fd: i32, pipe: &Arc<Pipe>) -> Outcome<Answer<()>> {
        let input = self.stream(pipe);
        self.start(move |me| async move { me.restore_now(fd, input).await })
    }

    /// Starts a call and lets it go on as far as it can without time passing.
    fn start<T: 'static, F: Future<Output = T> + 'static>(
        &self,
        work: impl FnOnce(Self) -> F,
    ) -> Outcome<T> {
        let outcome = Rc::new(RefCell::new(None));
        let (slot, work) = (Rc::clone(&outcome), work(self.clone()));
        self.world.spawn(async move {
            let value = work.await;
            *slot.borrow_mut() = Some(value);
        });
        self.world.run_until_stalled();
        outcome
    }
}

/// A GUID of one repeated byte.
const fn guid(byte: u8) -> Guid {
    Guid([byte; 16])
}

/// Records put into a store behind the kernel's back.
impl Store {
    fn put_key(&mut self, key: u8, parent: u8, name: &str, layer: &str, sequence: u64) {
        let record = Key::new(name.as_bytes(), guid(parent), root_descriptor());
        self.keys.insert(guid(key), record);
        self.put_entry(Some(key), parent, name, layer, sequence);
    }

    fn put_entry(&mut self, key: Option<u8>, parent: u8, name: &str, layer: &str, sequence: u64) {
        let place = (guid(parent), folded(name.as_bytes()), folded(layer.as_bytes()));
        let entry = PathEntry { layer: layer.into(), target: key.map(guid), sequence };
        self.entries.insert(place, (name.into(), entry));
    }

    fn put_value(&mut self, key: u8, name: &str, layer: &str, data: &[u8], sequence: u64) {
        let place = (guid(key), folded(name.as_bytes()), folded(layer.as_bytes()));
        let entry = ValueEntry {
            name: name.into(),
            layer: layer.into(),
            value_type: abi::value_type::REG_BINARY,
            data: data.to_vec(),
            sequence,
        };
        self.values.insert(place, entry);
    }

    fn put_blanket(&mut self, key: u8, layer: &str, sequence: u64) {
        let entry = BlanketEntry { layer: layer.into(), sequence };
        self.blankets.insert((guid(key), folded(layer.as_bytes())), entry);
    }

    /// Everything that is stored, in words.
    fn dump(&self) -> String {
        let keys = self.keys.iter().map(|(guid, key)| {
            let Key { volatile_key, symlink, last_write_time, ref sd, .. } = *key;
            format!("key {:02x?} {volatile_key} {symlink} {last_write_time} {sd:02x?}\n", guid.0)
        });
        let entries = self.entries.iter().map(|entry| format!("entry {entry:?}\n"));
        let values = self.values.iter().map(|value| format!("value {value:?}\n"));
        let blankets = self.blankets.iter().map(|blanket| format!("blanket {blanket:?}\n"));
        keys.chain(entries).chain(values).chain(blankets).collect()
    }
}
