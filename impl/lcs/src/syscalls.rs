//! The system calls: arguments in, an fd or an error out (PSD-005 §6.2; `SYS-*`, D-10, D-20).

use std::sync::Arc;

use abi::layout::CreateKeyArgs;
use abi::{
    Errno, REG_BEGIN_TRANSACTION, REG_CREATE_KEY, REG_OPEN_KEY, REG_OPEN_LINK,
    REG_OPTION_CREATE_LINK, REG_OPTION_VOLATILE,
};

use crate::configuration::Parameters;
use crate::env::{Env, UserMemory};
use crate::kernel::Kernel;
use crate::key_file::{KeyFile, Position};
use crate::limits::PATH_BYTES_READ_MAX;
use crate::name::{self, FoldedName};
use crate::open::{Creation, Target};
use crate::process::{Caller, File};
use crate::security::{Token, validate_desired_access};
use crate::turns::Share;
use crate::user;
use crate::walk::check_expanded;

/// The alias that stands for the caller's own hive part (PSD-005 §2.2).
pub const CURRENT_USER: &str = "CurrentUser";
const USERS: &str = "Users";
/// The parent fd of an absolute path, and the least that a transaction fd may be: none.
const NO_FD: i32 = -1;

impl<E: Env> Kernel<E> {
    /// Any system call by its number.
    ///
    /// # Errors
    /// ENOSYS for a number that is not served.
    pub async fn syscall(
        self: &Arc<Self>,
        caller: Caller<'_, E>,
        number: u64,
        arguments: [u64; 6],
        memory: &dyn UserMemory,
    ) -> Result<i64, Errno> {
        match number {
            REG_OPEN_KEY => self.reg_open_key(caller, arguments, memory).await,
            // Apart: an open need not have room for a creation.
            REG_CREATE_KEY => Box::pin(self.reg_create_key(caller, arguments[0], memory)).await,
            REG_BEGIN_TRANSACTION => {
                caller.process.install(File::Transaction(self.begin_transaction())).map(i64::from)
            }
            _ => Err(Errno::ENOSYS),
        }
    }

    async fn reg_open_key(
        self: &Arc<Self>,
        caller: Caller<'_, E>,
        arguments: [u64; 6],
        memory: &dyn UserMemory,
    ) -> Result<i64, Errno> {
        // The low 32 bits of a register are the argument.
        let [parent_fd, path_ptr, desired_access, flags, ..] = arguments;
        let (parent_fd, desired_access, flags) =
            (parent_fd as i32, desired_access as u32, flags as u32);
        validate_desired_access(desired_access)?;
        validate_flags(flags, REG_OPEN_LINK)?;
        let path = ReadPath::read(&caller, parent_fd, path_ptr, memory, &self.parameters)?;
        let target = path.target(caller.token, desired_access, &self.parameters)?;
        let file = self.open(caller.token, &target, flags & REG_OPEN_LINK != 0).await?;
        install(&caller, file)
    }

    async fn reg_create_key(
        self: &Arc<Self>,
        caller: Caller<'_, E>,
        address: u64,
        memory: &dyn UserMemory,
    ) -> Result<i64, Errno> {
        let args: CreateKeyArgs = user::read(memory, address)?;
        if args.pad0 != 0 || args.pad1 != 0 || args.txn_fd < NO_FD {
            return Err(Errno::EINVAL);
        }
        validate_desired_access(args.desired_access)?;
        validate_flags(args.flags, REG_OPTION_VOLATILE | REG_OPTION_CREATE_LINK)?;
        let path =
            ReadPath::read(&caller, args.parent_fd, args.path_ptr, memory, &self.parameters)?;
        if args.disposition_ptr != 0 && !memory.is_writable(args.disposition_ptr, 4) {
            return Err(Errno::EFAULT);
        }
        let target = path.target(caller.token, args.desired_access, &self.parameters)?;
        // Whether there is such a transaction matters only where a key is created (P-76).
        let enlisted = self.enlist_unchecked(caller.process, args.txn_fd, Share::Alone).await;
        let transaction = match &enlisted {
            Ok(enlisted) => Ok(enlisted.transaction()),
            Err(errno) => Err(*errno),
        };
        let creation = Creation {
            volatile_key: args.flags & REG_OPTION_VOLATILE != 0,
            symlink: args.flags & REG_OPTION_CREATE_LINK != 0,
            transaction,
            layer: &|| user::read_layer_string(memory, args.layer_ptr, &self.parameters),
        };
        let (file, disposition) = self.open_or_create(caller.token, &target, &creation).await?;
        if args.disposition_ptr != 0 {
            memory.write(args.disposition_ptr, &disposition.to_le_bytes())?;
        }
        install(&caller, file)
    }
}

fn validate_flags(flags: u32, defined: u32) -> Result<(), Errno> {
    if flags & !defined == 0 { Ok(()) } else { Err(Errno::EINVAL) }
}

fn install<E: Env>(caller: &Caller<'_, E>, file: Arc<KeyFile<E>>) -> Result<i64, Errno> {
    caller.process.install(File::Key(file)).map(i64::from)
}

/// A path argument that is well-formed, and the fd it starts from, if that is good.
struct ReadPath<E: Env> {
    components: Vec<String>,
    from: Result<Option<Arc<KeyFile<E>>>, Errno>,
}

impl<E: Env> ReadPath<E> {
    /// Reads and checks the path. A bad fd comes to light in [`ReadPath::target`], since faults of
    /// the path come first; yet the depth of a relative path counts from its parent (D-02, D-10).
    fn read(
        caller: &Caller<'_, E>,
        parent_fd: i32,
        path_ptr: u64,
        memory: &dyn UserMemory,
        parameters: &Parameters,
    ) -> Result<Self, Errno> {
        let bytes = user::read_string(memory, path_ptr, PATH_BYTES_READ_MAX)?;
        let from = match parent_fd {
            NO_FD => Ok(None),
            fd => caller.process.key(fd).map(Some),
        };
        let depth = match &from {
            Ok(Some(file)) => file.position.depth(),
            _ => 0,
        };
        Ok(Self { components: name::path(&bytes, depth, parameters)?, from })
    }

    fn target(
        self,
        token: &Token,
        desired_access: u32,
        parameters: &Parameters,
    ) -> Result<Target, Errno> {
        let from: Option<Position> = self.from?.map(|file| file.position.clone());
        let mut components = self.components;
        if from.is_none() {
            expand_current_user(&mut components, token, parameters)?;
        }
        Ok(Target { from, components, desired_access })
    }
}

/// Replaces a first component CurrentUser by `Users\<SID>` (D-04).
fn expand_current_user(
    components: &mut Vec<String>,
    token: &Token,
    parameters: &Parameters,
) -> Result<(), Errno> {
    let is_alias = components
        .first()
        .is_some_and(|first| FoldedName::new(first) == FoldedName::new(CURRENT_USER));
    if is_alias {
        components.splice(0..1, [USERS.to_owned(), token.user.to_string()]);
        check_expanded(&*components, parameters)?;
    }
    Ok(())
}
