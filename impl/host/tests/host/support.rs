//! A kernel half on real threads, and programs that call it.

use std::sync::{Arc, Mutex};

use abi::layout::{CreateKeyArgs, QueryValueArgs, SetValueArgs};
use abi::{KEY_ALL_ACCESS, Structure, ioctl};
use futures::executor::block_on;
use host::ThreadEnv;
use lcs::env::{Fault, UserMemory};
use lcs::security::Token;
use lcs::{Caller, Lcs, Process};

const SZ: u32 = 1;
const BASE: u64 = 0x1000;

/// A process's memory: one range that only grows.
#[derive(Default)]
struct Memory(Mutex<Vec<u8>>);

impl Memory {
    fn put(&self, bytes: &[u8]) -> u64 {
        let mut memory = self.0.lock().unwrap();
        let address = BASE + memory.len() as u64;
        memory.extend_from_slice(bytes);
        address
    }
}

impl UserMemory for Memory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let memory = self.0.lock().unwrap();
        let start = usize::try_from(address.checked_sub(BASE).ok_or(Fault)?).map_err(|_| Fault)?;
        let end = start.checked_add(buffer.len()).ok_or(Fault)?;
        buffer.copy_from_slice(memory.get(start..end).ok_or(Fault)?);
        Ok(())
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        let mut memory = self.0.lock().unwrap();
        let start = usize::try_from(address.checked_sub(BASE).ok_or(Fault)?).map_err(|_| Fault)?;
        let end = start.checked_add(bytes.len()).ok_or(Fault)?;
        memory.get_mut(start..end).ok_or(Fault)?.copy_from_slice(bytes);
        Ok(())
    }

    fn is_writable(&self, address: u64, length: u64) -> bool {
        let end = BASE + self.0.lock().unwrap().len() as u64;
        address >= BASE && address.checked_add(length).is_some_and(|last| last <= end)
    }
}

/// A machine with a kernel half that has just started.
pub struct Machine {
    pub lcs: Lcs<ThreadEnv>,
    pub token: Arc<Token>,
}

impl Machine {
    pub fn new(env: &ThreadEnv) -> Machine {
        Machine { lcs: Lcs::new(env.clone()), token: Arc::new(Token::system()) }
    }

    pub fn caller(&self) -> Program<'_> {
        let process = self.lcs.new_process();
        Program { machine: self, process, memory: Memory::default() }
    }
}

/// A process that calls.
pub struct Program<'a> {
    machine: &'a Machine,
    process: Process<ThreadEnv>,
    memory: Memory,
}

impl Program<'_> {
    fn ioctl<T: Structure>(&self, fd: i32, request: u32, args: &T) -> (i64, T) {
        let address = self.memory.put(&args.to_bytes());
        let caller = Caller { process: &self.process, token: &self.machine.token };
        let lcs = &self.machine.lcs;
        let result = block_on(lcs.ioctl(caller, fd, request, address, &self.memory));
        let mut bytes = vec![0; T::SIZE];
        self.memory.read(address, &mut bytes).unwrap();
        (result, T::from_bytes(&bytes).unwrap())
    }

    pub fn create(&self, path: &str) -> i64 {
        let path_ptr = self.memory.put(format!("{path}\0").as_bytes());
        let args = CreateKeyArgs {
            parent_fd: -1,
            path_ptr,
            desired_access: KEY_ALL_ACCESS,
            txn_fd: -1,
            ..CreateKeyArgs::default()
        };
        let address = self.memory.put(&args.to_bytes());
        let caller = Caller { process: &self.process, token: &self.machine.token };
        let arguments = [address, 0, 0, 0, 0, 0];
        let lcs = &self.machine.lcs;
        block_on(lcs.syscall(caller, abi::REG_CREATE_KEY, arguments, &self.memory))
    }

    pub fn set(&self, fd: i32, name: &str, data: &str) -> i64 {
        let args = SetValueArgs {
            name_len: name.len() as u32,
            name_ptr: self.memory.put(name.as_bytes()),
            value_type: SZ,
            data_len: data.len() as u32,
            data_ptr: self.memory.put(data.as_bytes()),
            txn_fd: -1,
            ..SetValueArgs::default()
        };
        self.ioctl(fd, ioctl::REG_IOC_SET_VALUE, &args).0
    }

    pub fn get(&self, fd: i32, name: &str) -> Result<String, i64> {
        let args = QueryValueArgs {
            name_len: name.len() as u32,
            name_ptr: self.memory.put(name.as_bytes()),
            data_len: 100,
            data_ptr: self.memory.put(&[0; 100]),
            layer_buf_len: 100,
            layer_ptr: self.memory.put(&[0; 100]),
            txn_fd: -1,
            ..QueryValueArgs::default()
        };
        let (result, found) = self.ioctl(fd, ioctl::REG_IOC_QUERY_VALUE, &args);
        if result < 0 {
            return Err(result);
        }
        let mut data = vec![0; found.data_len as usize];
        self.memory.read(args.data_ptr, &mut data).unwrap();
        Ok(String::from_utf8(data).unwrap())
    }
}

pub fn descriptor(result: i64) -> i32 {
    assert!(result >= 0, "{result}");
    result as i32
}
