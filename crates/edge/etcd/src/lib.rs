//! The DCS port on etcd v3, over gRPC.
