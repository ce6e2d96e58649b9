//! A restore from the first byte of its stream to the last, in the order of the stream (PSD-005 §9.1,
//! "Restore root mapping"; `RST-07`..`RST-53`, `RST-65`..`RST-76`, P-202..P-206, P-224, P-225).

use std::collections::{BTreeMap, BTreeSet};

use abi::Errno;
use rsi::{Guid, KeyMetadata, Request, Status};

use super::commit::Restored;
use super::judge;
use super::manifest::Manifest;
use super::metadata_way::MetadataWay;
use super::pipeline::Pipeline;
use super::section::Section;
use super::teardown::Teardown;
use crate::backup::awaited::Awaited;
use crate::backup::channel::Channel;
use crate::backup::format::Record;
use crate::backup::reader::RecordReader;
use crate::env::Env;
use crate::kernel::Failure;
use crate::key_file::KeyFile;
use crate::security::{Privileges, Token};
use crate::sequence_gate::HeldGate;
use crate::stream::Stream;
use crate::turns::{Place, Share};

/// See the module.
pub struct Rebuild<'a, E: Env> {
    pub(super) channel: &'a Channel<E>,
    pub(super) file: &'a KeyFile<E>,
    pub(super) token: &'a Token,
    gate: &'a mut Option<HeldGate<E>>,
    pipeline: Pipeline,
    pub(super) manifest: Manifest,
    pub(super) way: MetadataWay,
    /// What the stream calls the root.
    pub(super) stream_root: Guid,
    /// Keys that entries may be below: the target, and what has been made. Each with its volatile flag.
    pub(super) keys: BTreeMap<Guid, bool>,
}

impl<'a, E: Env> Rebuild<'a, E> {
    /// Replaces the target's content within the transaction. The gate is closed from the first entry
    /// on.
    ///
    /// # Errors
    /// EINVAL, EPERM, EEXIST, EOVERFLOW, and those of the stream and of a request.
    pub async fn run(
        channel: &'a Channel<E>,
        file: &'a KeyFile<E>,
        token: &'a Token,
        input: &'a dyn Stream,
        gate: &'a mut Option<HeldGate<E>>,
    ) -> Result<Restored, Errno> {
        channel.kernel.ensure_present(file.key()).await?;
        let mut reader = RecordReader::new(input);
        let header = reader.header().await?;
        let kernel = &channel.kernel;
        if header.root == Guid::NULL {
            return Err(Errno::EINVAL);
        }
        let way = MetadataWay::of_target(&*kernel.state(), &file.position);
        let concerns_metadata = way.is_concerned();
        let mut rebuild = Self {
            channel,
            file,
            token,
            gate,
            pipeline: Pipeline::new(kernel.parameters.requests_in_flight_max()),
            manifest: Manifest::default(),
            way,
            stream_root: header.root,
            keys: BTreeMap::from([(file.key().guid, file.volatile_key)]),
        };
        let replaced = rebuild.replace(&mut reader).await;
        // What was asked before is answered for before (P-224).
        rebuild.pipeline.drain().await?;
        let removed: BTreeSet<Guid> = replaced?.into_iter().collect();
        let target = file.position.clone();
        let mut made: BTreeSet<Guid> = rebuild.keys.into_keys().collect();
        made.remove(&target.key().guid);
        Ok(Restored { target, removed, made, concerns_metadata, creator: token.user })
    }

    /// Returns the keys that have been removed.
    async fn replace(&mut self, reader: &mut RecordReader<'_>) -> Result<Vec<Guid>, Errno> {
        let root = self.read_manifest(reader).await?;
        self.check_root(&root)?;
        self.declare_layers().await;
        let target = &self.file.position;
        let removed = Teardown::run(self.channel, &mut self.pipeline, target).await?;
        let guid = target.key().guid;
        let (sd, last_write_time) = (Some(root.sd), Some(root.last_write_time));
        let write = Request::WriteKey { guid, sd, last_write_time, undefined_fields: 0 };
        self.send_and_wait(write).await?;
        let mut section = Section::of_root(guid);
        loop {
            // The trailer or an error ends it: a stream without an end brings no more than it holds.
            match reader.next().await? {
                Record::Header(_) | Record::Layer(_) => return Err(Errno::EINVAL),
                Record::Key(key) => {
                    let key = judge::key(key)?;
                    section.close(self).await?;
                    self.channel.kernel.env.yield_point("restore a key").await;
                    section = self.open_section(key)?;
                }
                Record::PathEntry(record) => section.path_entry(self, record).await?,
                Record::Value(key, entry) => section.value(self, key, entry).await?,
                Record::Blanket(key, entry) => section.blanket(self, key, entry).await?,
                Record::Trailer => {
                    section.close(self).await?;
                    reader.expect_end().await?;
                    return Ok(removed);
                }
            }
        }
    }

    /// Everything up to the root's KEY record, which is the first; layers are judged before it is.
    async fn read_manifest(&mut self, reader: &mut RecordReader<'_>) -> Result<KeyMetadata, Errno> {
        let kernel = &self.channel.kernel;
        let name_length_max = kernel.parameters.component_length_max();
        let first = loop {
            match reader.next().await? {
                Record::Layer(line) => self.manifest.add(line, name_length_max)?,
                record => break record,
            }
        };
        // What has ended the manifest is judged behind the privilege (P-202).
        self.manifest.authorize(&kernel.layers(), self.token)?;
        match first {
            Record::Key(key) if key.guid == self.stream_root => judge::key(key),
            _ => Err(Errno::EINVAL),
        }
    }

    fn check_root(&self, root: &KeyMetadata) -> Result<(), Errno> {
        let (volatile_key, symlink) = (self.file.volatile_key, self.file.symlink);
        if (root.volatile_key, root.symlink) == (volatile_key, symlink) {
            Ok(())
        } else {
            Err(Errno::EINVAL)
        }
    }

    /// From here on the deletion of one of the layers aborts the restore. One that has begun is waited
    /// for, while the transaction holds no lock that it could be waiting for (P-229). Exclusive, since a
    /// future that shares what is pending could not move between threads.
    async fn declare_layers(&mut self) {
        let kernel = &self.channel.kernel;
        for layer in self.manifest.layers() {
            let turn = kernel.turns.take(Place::Layer(layer.clone()), Share::Change).await;
            let mut state = kernel.state();
            state.transactions.write_into(self.channel.transaction, Some(layer.clone()));
            drop((state, turn));
        }
    }

    fn open_section(&self, key: KeyMetadata) -> Result<Section, Errno> {
        let guid = self.mapped(key.guid);
        let is_known = self.keys.contains_key(&guid) && key.guid != self.file.key().guid;
        if is_known || key.guid == self.stream_root {
            return Err(Errno::EINVAL);
        }
        Ok(Section::of_key(key))
    }
}

/// What sections need.
impl<E: Env> Rebuild<'_, E> {
    /// A GUID of the stream, with the root's turned into the target's (`RST-07`).
    pub(super) fn mapped(&self, guid: Guid) -> Guid {
        if guid == self.stream_root { self.file.key().guid } else { guid }
    }

    /// The number that an entry is written with.
    pub(super) async fn number(&mut self, sequence: u64) -> Result<u64, Errno> {
        let gate = match self.gate {
            Some(gate) => gate,
            None => self.gate.insert(self.channel.kernel.close_sequence_gate().await),
        };
        gate.remap(sequence)
    }

    /// Whether the caller may restore a value of layer metadata.
    pub(super) fn authorize_precedence(&self, raises: bool) -> Result<(), Errno> {
        if raises && !self.token.has_privilege(Privileges::TCB) {
            return Err(Errno::EPERM);
        }
        Ok(())
    }

    /// Sends a mutation and goes on. A path entry that is there already is the stream's doing, since
    /// nothing else is left below the target.
    pub(super) async fn send(&mut self, request: Request) -> Result<(), Errno> {
        let answer = self.channel.tell(request);
        let pending = async move {
            match answer.await {
                Err(Failure::Refused(Status::AlreadyExists)) => Err(Errno::EINVAL),
                answer => Ok(answer?),
            }
        };
        self.pipeline.push(Awaited::new(pending)).await
    }

    /// Waits for all that was sent.
    pub(super) async fn answered(&mut self) -> Result<(), Errno> {
        self.pipeline.drain().await
    }

    /// Sends a mutation and waits for it.
    pub(super) async fn send_and_wait(&mut self, request: Request) -> Result<(), Errno> {
        Ok(self.channel.tell(request).await?)
    }

    /// Bytes that a name may have.
    pub(super) fn name_length_max(&self) -> usize {
        self.channel.kernel.parameters.component_length_max()
    }
}
