//! The C functions of an open file (`sqlite3_io_methods`).
//!
//! Each begins by asking whether the handle's incarnation still lives. None may unwind: a lock
//! that a panic poisoned is taken all the same.

use std::ffi::{c_int, c_void};
use std::ptr;
use std::slice;
use std::sync::Arc;
use std::sync::atomic::{Ordering, fence};

use rusqlite::ffi;

use crate::image::Change;
use crate::locks::{Level, SharedMemory, ShmHeld};
use crate::world::{File, World};

/// What SQLite allocates for a file; `base` must come first.
#[repr(C)]
pub(crate) struct SimulatedFile {
    base: ffi::sqlite3_file,
    handle: *mut Handle,
}

/// An open file as this side sees it.
pub(crate) struct Handle {
    /// The disk and the incarnation that opened it; none for a temporary file without a name.
    pub(crate) home: Option<(Arc<World>, u64)>,
    pub(crate) file: Arc<File>,
    /// The name to unlink at close.
    pub(crate) delete_on_close: Option<String>,
    pub(crate) level: Level,
    pub(crate) shared_memory: Option<(Arc<SharedMemory>, ShmHeld)>,
}

impl Handle {
    fn is_alive(&self) -> bool {
        self.home.as_ref().is_none_or(|(world, incarnation)| world.incarnation() == *incarnation)
    }

    /// The stamp of a change; none of a temporary file, which nothing survives.
    fn next_stamp(&self) -> Option<u64> {
        self.home.as_ref().map(|(world, _)| world.next_stamp())
    }

    /// A change has been made, or a sync is to be. Answers `error` if the power fails with that.
    fn done(&self, error: c_int) -> c_int {
        match &self.home {
            Some((world, _)) if world.fails_now() => {
                world.kill();
                error
            }
            _ => ffi::SQLITE_OK,
        }
    }
}

/// Gives SQLite's file object its methods and its handle.
///
/// # Safety
/// `file` points to at least `szOsFile` writable bytes.
pub(crate) unsafe fn install(file: *mut ffi::sqlite3_file, handle: Handle) {
    let file = file.cast::<SimulatedFile>();
    // SAFETY: the caller vouches for the memory; SQLite aligns it for any structure.
    unsafe {
        file.write(SimulatedFile {
            base: ffi::sqlite3_file { pMethods: &raw const METHODS },
            handle: Box::into_raw(Box::new(handle)),
        });
    }
}

/// Tells SQLite that there is nothing to close.
///
/// # Safety
/// `file` points to a `sqlite3_file`.
pub(crate) unsafe fn leave_closed(file: *mut ffi::sqlite3_file) {
    // SAFETY: as the caller vouches.
    unsafe { (*file).pMethods = ptr::null() };
}

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

/// Runs `work` on a handle that is alive, or answers `dead`.
///
/// # Safety
/// `file` was installed by [`install`] and is not closed; SQLite never uses one handle from two
/// threads at once.
unsafe fn with_handle(
    file: *mut ffi::sqlite3_file,
    dead: c_int,
    work: impl FnOnce(&mut Handle) -> c_int,
) -> c_int {
    // SAFETY: `install` made the pointer from a box that only `close` frees, and the caller
    // vouches that nobody else uses it now.
    let handle = unsafe { &mut *(*file.cast::<SimulatedFile>()).handle };
    if handle.is_alive() { work(handle) } else { dead }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: SQLite closes an installed file once; the box came from `install`.
    let mut handle = unsafe { Box::from_raw((*file.cast::<SimulatedFile>()).handle) };
    if handle.is_alive() {
        release_shared_memory(&mut handle);
        handle.file.with_locks(|locks| locks.lower(handle.level, Level::None));
        if let (Some(name), Some((world, _))) = (&handle.delete_on_close, &handle.home) {
            world.delete(name, false);
        }
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn read(
    file: *mut ffi::sqlite3_file,
    buffer: *mut c_void,
    amount: c_int,
    offset: i64,
) -> c_int {
    let (Ok(amount), Ok(offset)) = (usize::try_from(amount), usize::try_from(offset)) else {
        return ffi::SQLITE_IOERR_READ;
    };
    // SAFETY: SQLite gives `amount` writable bytes and an installed file.
    unsafe {
        let buffer = slice::from_raw_parts_mut(buffer.cast::<u8>(), amount);
        with_handle(file, ffi::SQLITE_IOERR_READ, |handle| {
            if handle.file.with_image(|image| image.read(offset, buffer)) {
                ffi::SQLITE_OK
            } else {
                ffi::SQLITE_IOERR_SHORT_READ
            }
        })
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    amount: c_int,
    offset: i64,
) -> c_int {
    let (Ok(amount), Ok(offset)) = (usize::try_from(amount), usize::try_from(offset)) else {
        return ffi::SQLITE_IOERR_WRITE;
    };
    // SAFETY: SQLite gives `amount` readable bytes and an installed file.
    unsafe {
        let bytes = slice::from_raw_parts(bytes.cast::<u8>(), amount);
        with_handle(file, ffi::SQLITE_IOERR_WRITE, |handle| {
            let length = handle.file.with_image(|image| image.bytes().len());
            match &handle.home {
                Some((world, _)) if world.is_full() && offset + bytes.len() > length => {
                    return ffi::SQLITE_FULL;
                }
                Some((world, _)) if world.errs_now() => return ffi::SQLITE_IOERR_WRITE,
                _ => {}
            }
            let stamp = handle.next_stamp();
            handle.file.with_image(|image| match stamp {
                Some(stamp) => image.write(offset, bytes, stamp),
                None => image.apply(&Change::Write { offset, bytes: bytes.to_vec() }),
            });
            handle.done(ffi::SQLITE_IOERR_WRITE)
        })
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, size: i64) -> c_int {
    let Ok(size) = usize::try_from(size) else { return ffi::SQLITE_IOERR_TRUNCATE };
    // SAFETY: SQLite gives an installed file.
    unsafe {
        with_handle(file, ffi::SQLITE_IOERR_TRUNCATE, |handle| {
            if handle.home.as_ref().is_some_and(|(world, _)| world.errs_now()) {
                return ffi::SQLITE_IOERR_TRUNCATE;
            }
            let stamp = handle.next_stamp();
            handle.file.with_image(|image| match stamp {
                Some(stamp) => image.truncate(size, stamp),
                None => image.apply(&Change::Resize { length: size }),
            });
            handle.done(ffi::SQLITE_IOERR_TRUNCATE)
        })
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: SQLite gives an installed file.
    unsafe {
        with_handle(file, ffi::SQLITE_IOERR_FSYNC, |handle| {
            let result = handle.done(ffi::SQLITE_IOERR_FSYNC);
            if let Some((world, _)) = handle.home.as_ref().filter(|_| result == ffi::SQLITE_OK) {
                world.sync(&handle.file);
            }
            result
        })
    }
}

unsafe extern "C" fn file_size(file: *mut ffi::sqlite3_file, size: *mut i64) -> c_int {
    // SAFETY: SQLite gives an installed file and a place for the size.
    unsafe {
        with_handle(file, ffi::SQLITE_IOERR_FSTAT, |handle| {
            let length = handle.file.with_image(|image| image.bytes().len());
            *size = i64::try_from(length).unwrap_or(i64::MAX);
            ffi::SQLITE_OK
        })
    }
}

unsafe extern "C" fn lock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    let Some(wanted) = Level::from_code(level) else { return ffi::SQLITE_IOERR_LOCK };
    // SAFETY: SQLite gives an installed file.
    unsafe {
        with_handle(file, ffi::SQLITE_IOERR_LOCK, |handle| {
            handle.level = handle.file.with_locks(|locks| locks.raise(handle.level, wanted));
            if handle.level >= wanted { ffi::SQLITE_OK } else { ffi::SQLITE_BUSY }
        })
    }
}

unsafe extern "C" fn unlock(file: *mut ffi::sqlite3_file, level: c_int) -> c_int {
    let Some(wanted) = Level::from_code(level) else { return ffi::SQLITE_IOERR_UNLOCK };
    // SAFETY: SQLite gives an installed file. A dead handle holds nothing, so that is a success.
    unsafe {
        with_handle(file, ffi::SQLITE_OK, |handle| {
            handle.file.with_locks(|locks| locks.lower(handle.level, wanted));
            handle.level = handle.level.min(wanted);
            ffi::SQLITE_OK
        })
    }
}

unsafe extern "C" fn check_reserved_lock(
    file: *mut ffi::sqlite3_file,
    result: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives an installed file and a place for the answer.
    unsafe {
        with_handle(file, ffi::SQLITE_IOERR_CHECKRESERVEDLOCK, |handle| {
            *result = c_int::from(handle.file.with_locks(|locks| locks.is_reserved()));
            ffi::SQLITE_OK
        })
    }
}

unsafe extern "C" fn file_control(
    _file: *mut ffi::sqlite3_file,
    _operation: c_int,
    _argument: *mut c_void,
) -> c_int {
    ffi::SQLITE_NOTFOUND
}

unsafe extern "C" fn sector_size(_file: *mut ffi::sqlite3_file) -> c_int {
    512
}

unsafe extern "C" fn device_characteristics(_file: *mut ffi::sqlite3_file) -> c_int {
    ffi::SQLITE_IOCAP_POWERSAFE_OVERWRITE
}

unsafe extern "C" fn shm_map(
    file: *mut ffi::sqlite3_file,
    region: c_int,
    size: c_int,
    extend: c_int,
    address: *mut *mut c_void,
) -> c_int {
    let (Ok(region), Ok(size)) = (usize::try_from(region), usize::try_from(size)) else {
        return ffi::SQLITE_IOERR_SHMMAP;
    };
    // SAFETY: SQLite gives an installed file and a place for the address. The region outlives the
    // mapping, since the handle keeps the shared memory until `shm_unmap` or `close`.
    unsafe {
        *address = ptr::null_mut();
        with_handle(file, ffi::SQLITE_IOERR_SHMMAP, |handle| {
            let (memory, _) = handle
                .shared_memory
                .get_or_insert_with(|| (handle.file.shared_memory(), ShmHeld::default()));
            if let Some(found) = memory.region(region, size, extend != 0) {
                *address = found.cast();
            }
            ffi::SQLITE_OK
        })
    }
}

unsafe extern "C" fn shm_lock(
    file: *mut ffi::sqlite3_file,
    first: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    let (Ok(first), Ok(count)) = (usize::try_from(first), usize::try_from(count)) else {
        return ffi::SQLITE_IOERR_SHMLOCK;
    };
    // SAFETY: SQLite gives an installed file.
    unsafe {
        with_handle(file, ffi::SQLITE_IOERR_SHMLOCK, |handle| {
            let Some((memory, held)) = &mut handle.shared_memory else {
                return ffi::SQLITE_IOERR_SHMLOCK;
            };
            if flags & ffi::SQLITE_SHM_UNLOCK != 0 {
                memory.unlock(held, first, count);
                return ffi::SQLITE_OK;
            }
            let exclusive = flags & ffi::SQLITE_SHM_EXCLUSIVE != 0;
            if memory.lock(held, first, count, exclusive) {
                ffi::SQLITE_OK
            } else {
                ffi::SQLITE_BUSY
            }
        })
    }
}

unsafe extern "C" fn shm_barrier(_file: *mut ffi::sqlite3_file) {
    fence(Ordering::SeqCst);
}

unsafe extern "C" fn shm_unmap(file: *mut ffi::sqlite3_file, _delete: c_int) -> c_int {
    // SAFETY: SQLite gives an installed file, and uses none of its regions after this.
    unsafe {
        with_handle(file, ffi::SQLITE_OK, |handle| {
            release_shared_memory(handle);
            ffi::SQLITE_OK
        })
    }
}

/// Lets go of the WAL index. The last one out removes it, as a reboot would: it is rebuilt from
/// the log.
fn release_shared_memory(handle: &mut Handle) {
    if let Some((memory, mut held)) = handle.shared_memory.take() {
        memory.unlock_all(&mut held);
        handle.file.release_shared_memory(&memory);
    }
}
