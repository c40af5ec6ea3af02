//! The testbed: real etcd and PostgreSQL hosts in network namespaces, with the means to cut, pause and kill them.
