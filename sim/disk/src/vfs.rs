//! The C functions of the file system (`sqlite3_vfs`), and its registration.
//!
//! SQLite asks a file system, not a file, for time and randomness, and so names no world; both
//! come from the thread, which runs one world at a time. Nothing that the stores do depends on
//! either.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_int};
use std::ptr;
use std::slice;
use std::sync::{Arc, Once};

use rusqlite::ffi;

use crate::file::{self, Handle, SimulatedFile};
use crate::locks::Level;
use crate::world::{self, File};

/// The name of the file system.
pub(crate) const NAME: &str = "lockstep-disk";

const NAME_FOR_C: &CStr = c"lockstep-disk";

/// The longest path, its terminator included.
const PATH_LENGTH_MAX: c_int = 512;

/// Milliseconds from SQLite's epoch (noon of 24 November 4714 BC) to the Unix epoch.
const UNIX_EPOCH_JULIAN_MS: i64 = 210_866_760_000_000;

thread_local! {
    static UNIX_TIME_MS: Cell<u64> = const { Cell::new(0) };
    static RANDOM_STATE: Cell<u64> = const { Cell::new(0x9e37_79b9_7f4a_7c15) };
}

/// Sets what this thread's worlds answer when SQLite asks the file system for the time (Unix
/// milliseconds) and for random bytes.
pub fn set_thread_environment(unix_time_ms: u64, random_seed: u64) {
    UNIX_TIME_MS.set(unix_time_ms);
    RANDOM_STATE.set(random_seed);
}

/// Makes the file system known to SQLite, once for the process.
///
/// # Panics
/// If SQLite refuses.
pub(crate) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let vfs = Box::leak(Box::new(table()));
        // SAFETY: the table and its name live for ever. `sqlite3_config` is refused, without harm,
        // once SQLite runs; before that it turns off allocation statistics, whose one global lock
        // would have every world wait for every other.
        let code = unsafe {
            ffi::sqlite3_config(ffi::SQLITE_CONFIG_MEMSTATUS, 0 as c_int);
            ffi::sqlite3_vfs_register(vfs, 0)
        };
        assert_eq!(code, ffi::SQLITE_OK, "SQLite refuses the simulated disk");
    });
}

fn table() -> ffi::sqlite3_vfs {
    // SAFETY: null pointers, absent functions and zeros are valid for every field.
    let mut vfs: ffi::sqlite3_vfs = unsafe { std::mem::zeroed() };
    vfs.iVersion = 2;
    vfs.szOsFile = c_int::try_from(size_of::<SimulatedFile>()).unwrap_or(c_int::MAX);
    vfs.mxPathname = PATH_LENGTH_MAX;
    vfs.zName = NAME_FOR_C.as_ptr();
    vfs.xOpen = Some(open);
    vfs.xDelete = Some(delete);
    vfs.xAccess = Some(access);
    vfs.xFullPathname = Some(full_pathname);
    vfs.xRandomness = Some(randomness);
    vfs.xSleep = Some(sleep);
    vfs.xCurrentTime = Some(current_time);
    vfs.xGetLastError = Some(get_last_error);
    vfs.xCurrentTimeInt64 = Some(current_time_int64);
    vfs
}

/// The path behind a C string, or `None` if it is null or not UTF-8.
///
/// # Safety
/// `path` is null or a C string that outlives the result.
unsafe fn text<'a>(path: *const c_char) -> Option<&'a str> {
    if path.is_null() {
        return None;
    }
    // SAFETY: as the caller vouches.
    unsafe { CStr::from_ptr(path) }.to_str().ok()
}

unsafe extern "C" fn open(
    _vfs: *mut ffi::sqlite3_vfs,
    path: ffi::sqlite3_filename,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    flags_out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives `szOsFile` bytes for the file, a path or null, and a place for the
    // flags or null.
    unsafe {
        file::leave_closed(file);
        let handle = match open_handle(path.is_null(), text(path), flags) {
            Ok(handle) => handle,
            Err(code) => return code,
        };
        file::install(file, handle);
        if !flags_out.is_null() {
            *flags_out = flags;
        }
    }
    ffi::SQLITE_OK
}

fn open_handle(temporary: bool, path: Option<&str>, flags: c_int) -> Result<Handle, c_int> {
    let (home, file, delete_on_close) = if temporary {
        (None, Arc::new(File::default()), None)
    } else {
        let located = path.and_then(world::locate).ok_or(ffi::SQLITE_CANTOPEN)?;
        let file = match located.world.find(located.name) {
            Some(_) if flags & ffi::SQLITE_OPEN_EXCLUSIVE != 0 => return Err(ffi::SQLITE_CANTOPEN),
            Some(file) => file,
            None if flags & ffi::SQLITE_OPEN_CREATE != 0 => {
                located.world.find_or_create(located.name)
            }
            None => return Err(ffi::SQLITE_CANTOPEN),
        };
        let deleted = flags & ffi::SQLITE_OPEN_DELETEONCLOSE != 0;
        let name = deleted.then(|| located.name.to_owned());
        (Some((located.world, located.incarnation)), file, name)
    };
    Ok(Handle { home, file, delete_on_close, level: Level::None, shared_memory: None })
}

unsafe extern "C" fn delete(
    _vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    sync_directory: c_int,
) -> c_int {
    // SAFETY: SQLite gives a C string.
    let Some(located) = unsafe { text(path) }.and_then(world::locate) else {
        return ffi::SQLITE_IOERR_DELETE;
    };
    if !located.world.delete(located.name, sync_directory != 0) {
        return ffi::SQLITE_IOERR_DELETE_NOENT;
    }
    if located.world.fails_now() {
        located.world.kill();
        return ffi::SQLITE_IOERR_DELETE;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn access(
    _vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    _flags: c_int,
    result: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives a C string and a place for the answer.
    unsafe {
        let Some(located) = text(path).and_then(world::locate) else {
            return ffi::SQLITE_IOERR_ACCESS;
        };
        *result = c_int::from(located.world.find(located.name).is_some());
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn full_pathname(
    _vfs: *mut ffi::sqlite3_vfs,
    path: *const c_char,
    length: c_int,
    out: *mut c_char,
) -> c_int {
    // SAFETY: SQLite gives a C string and `length` writable bytes.
    unsafe {
        let bytes = CStr::from_ptr(path).to_bytes_with_nul();
        if usize::try_from(length).is_ok_and(|length| bytes.len() <= length) {
            ptr::copy_nonoverlapping(bytes.as_ptr().cast(), out, bytes.len());
            return ffi::SQLITE_OK;
        }
    }
    ffi::SQLITE_CANTOPEN
}

unsafe extern "C" fn randomness(
    _vfs: *mut ffi::sqlite3_vfs,
    length: c_int,
    out: *mut c_char,
) -> c_int {
    let length = usize::try_from(length).unwrap_or(0);
    // SAFETY: SQLite gives `length` writable bytes.
    let bytes = unsafe { slice::from_raw_parts_mut(out.cast::<u8>(), length) };
    for chunk in bytes.chunks_mut(8) {
        chunk.copy_from_slice(&next_random().to_le_bytes()[..chunk.len()]);
    }
    c_int::try_from(length).unwrap_or(0)
}

/// The SplitMix64 generator (Steele, Lea, Flood 2014).
fn next_random() -> u64 {
    let state = RANDOM_STATE.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    RANDOM_STATE.set(state);
    let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Nobody waits inside a simulation: time passes outside.
unsafe extern "C" fn sleep(_vfs: *mut ffi::sqlite3_vfs, microseconds: c_int) -> c_int {
    microseconds
}

unsafe extern "C" fn current_time(_vfs: *mut ffi::sqlite3_vfs, days: *mut f64) -> c_int {
    // SAFETY: SQLite gives a place for the time.
    #[expect(clippy::cast_precision_loss, reason = "SQLite's own type for a Julian day number")]
    unsafe {
        *days = julian_ms() as f64 / 86_400_000.0;
    }
    ffi::SQLITE_OK
}

unsafe extern "C" fn current_time_int64(_vfs: *mut ffi::sqlite3_vfs, time_ms: *mut i64) -> c_int {
    // SAFETY: SQLite gives a place for the time.
    unsafe { *time_ms = julian_ms() };
    ffi::SQLITE_OK
}

fn julian_ms() -> i64 {
    UNIX_EPOCH_JULIAN_MS.saturating_add_unsigned(UNIX_TIME_MS.get())
}

unsafe extern "C" fn get_last_error(
    _vfs: *mut ffi::sqlite3_vfs,
    _length: c_int,
    _out: *mut c_char,
) -> c_int {
    0
}
