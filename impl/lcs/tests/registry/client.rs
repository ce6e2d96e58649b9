//! A caller in a few words: strings in, values and error numbers out.

use std::rc::Rc;
use std::sync::Arc;

use abi::layout::{
    BlanketTombstoneArgs, CreateKeyArgs, DeleteKeyArgs, DeleteValueArgs, EnumSubkeyArgs,
    GetSecurityArgs, NotifyArgs, QueryKeyInfoArgs, QueryValueArgs, QueryValuesBatchArgs,
    SetSecurityArgs, SetValueArgs, TransactionStatusArgs,
};
use abi::{Errno, KEY_ALL_ACCESS, Structure, ioctl};
use lcs::security::Token;
use lcs::{Caller, Lcs, Process};

use crate::source::{Source, hive};
use crate::world::{Memory, TestEnv, World};

pub type Answer<T> = Result<T, Errno>;

/// A process with one thread.
#[derive(Clone)]
pub struct Client {
    pub world: Rc<World>,
    pub lcs: Lcs<TestEnv>,
    pub process: Arc<Process<TestEnv>>,
    pub token: Arc<Token>,
    pub memory: Arc<Memory>,
    /// The transaction fd that calls name, -1 for none.
    pub transaction: i32,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Value {
    pub value_type: u32,
    pub data: Vec<u8>,
    pub sequence: u64,
    pub layer: String,
}

/// A machine with one source for Machine and one for Other.
pub struct Machine {
    pub world: Rc<World>,
    pub lcs: Lcs<TestEnv>,
    pub source: Source,
    pub other: Source,
}

impl Machine {
    pub fn new() -> Self {
        Self::in_world(World::new())
    }

    pub fn in_world(world: World) -> Self {
        let world = Rc::new(world);
        let lcs = Lcs::new(world.env.clone());
        let mut source = Source::new(vec![hive("Machine", 1), hive("Users", 2)]);
        let mut other = Source::new(vec![hive("Other", 3)]);
        source.start(&world, &lcs).unwrap();
        other.start(&world, &lcs).unwrap();
        let machine = Self { world, lcs, source, other };
        machine.settle();
        machine
    }

    pub fn settle(&self) {
        let lcs = self.lcs.clone();
        self.world.run(async move { lcs.settled().await });
    }

    pub fn client(&self) -> Client {
        Client {
            world: Rc::clone(&self.world),
            lcs: self.lcs.clone(),
            process: Arc::new(self.lcs.new_process()),
            token: Arc::new(Token::system()),
            memory: Arc::new(Memory::new()),
            transaction: -1,
        }
    }

    pub fn restart_other(&mut self) {
        self.other.kill();
        self.other.start(&self.world, &self.lcs).unwrap();
        self.settle();
    }

    pub fn restart(&mut self) {
        self.source.kill();
        self.source.start(&self.world, &self.lcs).unwrap();
        self.settle();
    }
}

pub fn answer(result: i64) -> Answer<i64> {
    if result >= 0 {
        return Ok(result);
    }
    Err(*Errno::ALL.iter().find(|errno| errno.returned() == result).unwrap())
}

/// An event record as its kind, its name and the way from the watched key: `VALUE_SET v @A\\B`.
fn in_words(record: &[u8]) -> String {
    const KINDS: [&str; 7] = [
        "VALUE_SET",
        "VALUE_DELETED",
        "SUBKEY_CREATED",
        "SUBKEY_DELETED",
        "SD_CHANGED",
        "KEY_DELETED",
        "OVERFLOW",
    ];
    let number = |at: usize| usize::from(u16::from_le_bytes([record[at], record[at + 1]]));
    let text = |at: usize, length: usize| String::from_utf8(record[at..at + length].to_vec());
    let (kind, name) = (KINDS[number(4) - 1], text(8, number(6)).unwrap());
    let mut words = if name.is_empty() { kind.to_owned() } else { format!("{kind} {name}") };
    let mut at = 8 + name.len();
    if at < record.len() {
        let mut components = Vec::new();
        let depth = number(at);
        at += 2;
        for _ in 0..depth {
            components.push(text(at + 2, number(at)).unwrap());
            at += 2 + number(at);
        }
        words += &format!(" @{}", components.join("\\"));
    }
    assert_eq!(at, record.len());
    words
}

impl Client {
    pub fn with_token(&self, token: Token) -> Self {
        Self { token: Arc::new(token), ..self.clone() }
    }

    /// The same thread, whose calls name a transaction.
    pub fn within(&self, transaction: i32) -> Self {
        Self { transaction, ..self.clone() }
    }

    pub fn begin(&self) -> Answer<i32> {
        self.go(|me| async move { me.syscall(abi::REG_BEGIN_TRANSACTION, [0; 6]).await })
            .map(|fd| fd as i32)
    }

    pub async fn commit_now(&self, fd: i32) -> Answer<()> {
        self.ioctl_at(fd, ioctl::REG_IOC_COMMIT, 0).await.map(|_| ())
    }

    pub fn commit(&self, fd: i32) -> Answer<()> {
        self.go(|me| async move { me.commit_now(fd).await })
    }

    /// State and terminal error number.
    pub fn status(&self, fd: i32) -> Answer<(u32, u32)> {
        let args = TransactionStatusArgs::default();
        self.go(|me| async move {
            let (result, args) = me.ioctl(fd, ioctl::REG_IOC_TXN_STATUS, args).await;
            result.map(|_| (args.state, args.terminal_errno))
        })
    }

    pub async fn syscall(&self, number: u64, arguments: [u64; 6]) -> Answer<i64> {
        let caller = Caller { process: &self.process, token: &self.token };
        answer(self.lcs.syscall(caller, number, arguments, &*self.memory).await)
    }

    pub async fn ioctl_at(&self, fd: i32, request: u32, argument: u64) -> Answer<i64> {
        let caller = Caller { process: &self.process, token: &self.token };
        answer(self.lcs.ioctl(caller, fd, request, argument, &*self.memory).await)
    }

    pub async fn ioctl<T: Structure>(&self, fd: i32, request: u32, args: T) -> (Answer<i64>, T) {
        let address = self.memory.put(&args.to_bytes());
        let result = self.ioctl_at(fd, request, address).await;
        (result, T::from_bytes(&self.memory.peek(address, T::SIZE)).unwrap())
    }

    fn string(&self, text: &str) -> u64 {
        let mut bytes = text.as_bytes().to_vec();
        bytes.push(0);
        self.memory.put(&bytes)
    }

    pub async fn open_at(&self, from: i32, path: &str, access: u32, flags: u32) -> Answer<i32> {
        let arguments = [from as u64, self.string(path), access.into(), flags.into(), 0, 0];
        self.syscall(abi::REG_OPEN_KEY, arguments).await.map(|fd| fd as i32)
    }

    pub async fn create_with(&self, args: CreateKeyArgs) -> Answer<(i32, u32)> {
        let disposition = self.memory.put(&[0; 4]);
        let args = CreateKeyArgs { disposition_ptr: disposition, ..args };
        let address = self.memory.put(&args.to_bytes());
        let fd = self.syscall(abi::REG_CREATE_KEY, [address, 0, 0, 0, 0, 0]).await?;
        let disposition = self.memory.peek(disposition, 4).try_into().unwrap();
        Ok((fd as i32, u32::from_le_bytes(disposition)))
    }

    pub fn create_args(&self, path: &str, layer: &str) -> CreateKeyArgs {
        CreateKeyArgs {
            parent_fd: -1,
            path_ptr: self.string(path),
            desired_access: KEY_ALL_ACCESS,
            layer_ptr: if layer.is_empty() { 0 } else { self.string(layer) },
            txn_fd: self.transaction,
            ..CreateKeyArgs::default()
        }
    }

    pub fn go<T: 'static, F: Future<Output = T> + 'static>(
        &self,
        work: impl FnOnce(Self) -> F,
    ) -> T {
        self.world.run(work(self.clone()))
    }

    pub fn open(&self, path: &str) -> Answer<i32> {
        let path = path.to_owned();
        self.go(|me| async move { me.open_at(-1, &path, KEY_ALL_ACCESS, 0).await })
    }

    pub fn create(&self, path: &str, layer: &str) -> Answer<(i32, u32)> {
        let args = self.create_args(path, layer);
        self.go(|me| async move { me.create_with(args).await })
    }

    /// Creates every key of a path in base.
    pub fn make(&self, path: &str) -> i32 {
        let mut fd = -1;
        for (end, _) in path.match_indices('\\').chain([(path.len(), "")]) {
            fd = match self.open(&path[..end]) {
                Ok(fd) => fd,
                Err(_) => self.create(&path[..end], "").unwrap().0,
            };
        }
        fd
    }

    pub fn pass(&self, fd: i32, to: &Self) -> Answer<i32> {
        let caller = Caller { process: &self.process, token: &self.token };
        self.lcs.pass(caller, fd, &to.process)
    }

    /// The components of a key's descriptor.
    pub fn security(&self, fd: i32, components: u32) -> Answer<Vec<u8>> {
        let args = GetSecurityArgs {
            security_info: components,
            sd_len: 0x1_0000,
            sd_ptr: self.memory.room(0x1_0000),
        };
        self.go(|me| async move {
            let (result, args) = me.ioctl(fd, ioctl::REG_IOC_GET_SECURITY, args).await;
            result?;
            Ok(me.memory.peek(args.sd_ptr, args.sd_len as usize))
        })
    }

    pub fn set_security_args(&self, components: u32, sd: &[u8]) -> SetSecurityArgs {
        SetSecurityArgs {
            security_info: components,
            sd_len: sd.len() as u32,
            sd_ptr: self.memory.put(sd),
            txn_fd: self.transaction,
            ..SetSecurityArgs::default()
        }
    }

    pub fn set_security_with(&self, fd: i32, args: SetSecurityArgs) -> Answer<()> {
        self.go(
            |me| async move { me.ioctl(fd, ioctl::REG_IOC_SET_SECURITY, args).await.0.map(|_| ()) },
        )
    }

    pub fn set_security(&self, fd: i32, components: u32, sd: &[u8]) -> Answer<()> {
        self.set_security_with(fd, self.set_security_args(components, sd))
    }

    pub fn close(&self, fd: i32) -> Answer<i64> {
        self.go(|me| async move {
            let caller = Caller { process: &me.process, token: &me.token };
            answer(me.lcs.close(caller, fd).await)
        })
    }

    pub fn set_args(&self, name: &str, kind: u32, data: &[u8], layer: &str) -> SetValueArgs {
        SetValueArgs {
            name_len: name.len() as u32,
            name_ptr: self.memory.put(name.as_bytes()),
            value_type: kind,
            data_len: data.len() as u32,
            data_ptr: self.memory.put(data),
            layer_len: layer.len() as u32,
            layer_ptr: self.memory.put(layer.as_bytes()),
            txn_fd: self.transaction,
            ..SetValueArgs::default()
        }
    }

    pub fn set_with(&self, fd: i32, args: SetValueArgs) -> Answer<()> {
        self.go(
            |me| async move { me.ioctl(fd, ioctl::REG_IOC_SET_VALUE, args).await.0.map(|_| ()) },
        )
    }

    pub fn set(&self, fd: i32, name: &str, value: u32, layer: &str) -> Answer<()> {
        let kind = abi::value_type::REG_DWORD;
        self.set_with(fd, self.set_args(name, kind, &value.to_le_bytes(), layer))
    }

    pub fn bury(&self, fd: i32, name: &str, layer: &str) -> Answer<()> {
        self.set_with(fd, self.set_args(name, abi::value_type::REG_TOMBSTONE, &[], layer))
    }

    pub fn unset(&self, fd: i32, name: &str, layer: &str) -> Answer<()> {
        let args = DeleteValueArgs {
            name_len: name.len() as u32,
            name_ptr: self.memory.put(name.as_bytes()),
            layer_len: layer.len() as u32,
            layer_ptr: self.memory.put(layer.as_bytes()),
            txn_fd: self.transaction,
            ..DeleteValueArgs::default()
        };
        self.go(
            |me| async move { me.ioctl(fd, ioctl::REG_IOC_DELETE_VALUE, args).await.0.map(|_| ()) },
        )
    }

    pub fn blanket(&self, fd: i32, layer: &str, set: bool) -> Answer<()> {
        let args = BlanketTombstoneArgs {
            layer_len: layer.len() as u32,
            layer_ptr: self.memory.put(layer.as_bytes()),
            set: set.into(),
            txn_fd: self.transaction,
            ..BlanketTombstoneArgs::default()
        };
        self.go(|me| async move {
            me.ioctl(fd, ioctl::REG_IOC_BLANKET_TOMBSTONE, args).await.0.map(|_| ())
        })
    }

    pub fn query_args(&self, name: &str) -> QueryValueArgs {
        QueryValueArgs {
            name_len: name.len() as u32,
            name_ptr: self.memory.put(name.as_bytes()),
            data_len: 64,
            data_ptr: self.memory.room(64),
            layer_buf_len: 64,
            layer_ptr: self.memory.room(64),
            txn_fd: self.transaction,
            ..QueryValueArgs::default()
        }
    }

    pub fn value(&self, fd: i32, name: &str) -> Answer<Value> {
        let args = self.query_args(name);
        self.go(|me| async move {
            let (result, args) = me.ioctl(fd, ioctl::REG_IOC_QUERY_VALUE, args).await;
            result?;
            let layer = me.memory.peek(args.layer_ptr, args.layer_len as usize);
            Ok(Value {
                value_type: args.value_type,
                data: me.memory.peek(args.data_ptr, args.data_len as usize),
                sequence: args.sequence,
                layer: String::from_utf8(layer).unwrap(),
            })
        })
    }

    /// A number and the layer it comes from.
    pub fn get(&self, fd: i32, name: &str) -> Answer<(u32, String)> {
        let value = self.value(fd, name)?;
        Ok((u32::from_le_bytes(value.data.try_into().unwrap()), value.layer))
    }

    fn removal(&self, fd: i32, request: u32, layer: &str) -> Answer<()> {
        let args = DeleteKeyArgs {
            layer_len: layer.len() as u32,
            layer_ptr: self.memory.put(layer.as_bytes()),
            txn_fd: self.transaction,
            ..DeleteKeyArgs::default()
        };
        self.go(|me| async move { me.ioctl(fd, request, args).await.0.map(|_| ()) })
    }

    pub fn delete(&self, fd: i32, layer: &str) -> Answer<()> {
        self.removal(fd, ioctl::REG_IOC_DELETE_KEY, layer)
    }

    pub fn hide(&self, fd: i32, layer: &str) -> Answer<()> {
        self.removal(fd, ioctl::REG_IOC_HIDE_KEY, layer)
    }

    pub fn notify_with(&self, fd: i32, args: NotifyArgs) -> Answer<()> {
        self.go(|me| async move { me.ioctl(fd, ioctl::REG_IOC_NOTIFY, args).await.0.map(|_| ()) })
    }

    /// Arms a watch.
    pub fn notify(&self, fd: i32, filter: u32, subtree: bool) -> Answer<()> {
        self.notify_with(fd, NotifyArgs { filter, subtree: subtree.into(), ..Default::default() })
    }

    /// The bytes of one read of events into a buffer at an address.
    pub fn read_at(&self, fd: i32, buffer: u64, length: u64) -> Answer<Vec<u8>> {
        self.go(move |me| async move {
            let caller = Caller { process: &me.process, token: &me.token };
            let length = answer(me.lcs.read(caller, fd, buffer, length, &*me.memory).await)?;
            Ok(me.memory.peek(buffer, length as usize))
        })
    }

    pub fn read(&self, fd: i32, capacity: usize) -> Answer<Vec<u8>> {
        self.read_at(fd, self.memory.room(capacity), capacity as u64)
    }

    pub fn poll(&self, fd: i32) -> Answer<i64> {
        answer(self.lcs.poll(Caller { process: &self.process, token: &self.token }, fd))
    }

    /// All events that wait, in words.
    pub fn events(&self, fd: i32) -> Vec<String> {
        let mut events = Vec::new();
        while let Ok(bytes) = self.read(fd, 0x4000) {
            let mut bytes = bytes.as_slice();
            while !bytes.is_empty() {
                let length = u32::from_le_bytes(bytes[..4].try_into().unwrap()) as usize;
                events.push(in_words(&bytes[..length]));
                bytes = &bytes[length..];
            }
        }
        events
    }

    pub fn flush(&self, fd: i32) -> Answer<()> {
        self.go(|me| async move { me.ioctl_at(fd, ioctl::REG_IOC_FLUSH, 0).await.map(|_| ()) })
    }

    pub fn info(&self, fd: i32) -> Answer<(String, QueryKeyInfoArgs)> {
        let args = QueryKeyInfoArgs {
            name_len: 64,
            name_ptr: self.memory.room(64),
            ..QueryKeyInfoArgs::default()
        };
        self.go(|me| async move {
            let (result, args) = me.ioctl(fd, ioctl::REG_IOC_QUERY_KEY_INFO, args).await;
            result?;
            let name = me.memory.peek(args.name_ptr, args.name_len as usize);
            Ok((String::from_utf8(name).unwrap(), args))
        })
    }

    pub fn generation(&self, path: &str) -> u64 {
        let fd = self.open(path).unwrap();
        let generation = self.info(fd).unwrap().1.hive_generation;
        self.close(fd).unwrap();
        generation
    }

    pub fn subkey(&self, fd: i32, index: u32) -> Answer<(String, EnumSubkeyArgs)> {
        let args = EnumSubkeyArgs {
            index,
            name_len: 64,
            name_ptr: self.memory.room(64),
            txn_fd: self.transaction,
            ..EnumSubkeyArgs::default()
        };
        self.go(|me| async move {
            let (result, args) = me.ioctl(fd, ioctl::REG_IOC_ENUM_SUBKEYS, args).await;
            result?;
            let name = me.memory.peek(args.name_ptr, args.name_len as usize);
            Ok((String::from_utf8(name).unwrap(), args))
        })
    }

    pub fn subkeys(&self, fd: i32) -> Vec<String> {
        (0..).map_while(|index| self.subkey(fd, index).ok()).map(|(name, _)| name).collect()
    }

    pub fn batch(&self, fd: i32) -> Answer<(u32, Vec<u8>)> {
        let args = QueryValuesBatchArgs {
            buf_len: 512,
            buf_ptr: self.memory.room(512),
            txn_fd: self.transaction,
            ..QueryValuesBatchArgs::default()
        };
        self.go(|me| async move {
            let (result, args) = me.ioctl(fd, ioctl::REG_IOC_QUERY_VALUES_BATCH, args).await;
            result?;
            Ok((args.count, me.memory.peek(args.buf_ptr, args.buf_len as usize)))
        })
    }

    /// Makes a layer with a precedence.
    pub fn layer(&self, name: &str, precedence: u32) -> i32 {
        let fd = self.make(&format!("Machine\\System\\Registry\\Layers\\{name}"));
        if precedence > 0 {
            self.set(fd, "Precedence", precedence, "").unwrap();
        }
        fd
    }
}
