//! A calling process's memory as the kernel half sees it.

use std::sync::{Mutex, PoisonError};

use conformance::address_space::AddressSpace;
use lcs::env::{Fault, UserMemory};

/// The address space of one call in flight.
pub struct CallMemory(Mutex<AddressSpace>);

impl CallMemory {
    /// Lends an address space to a call.
    pub fn new(memory: AddressSpace) -> CallMemory {
        CallMemory(Mutex::new(memory))
    }

    /// Gives it back after the call.
    pub fn into_inner(self) -> AddressSpace {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UserMemory for CallMemory {
    fn read(&self, address: u64, buffer: &mut [u8]) -> Result<(), Fault> {
        let memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = memory.read(address, buffer.len() as u64).map_err(|_| Fault)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write(&self, address: u64, bytes: &[u8]) -> Result<(), Fault> {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        memory.write(address, bytes).map_err(|_| Fault)
    }

    fn is_writable(&self, address: u64, length: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_writable(address, length)
    }
}
