//! The kernel half on real threads, with sources on threads of the host and on sockets.

mod files;
mod sockets;
mod support;
mod waiting;
