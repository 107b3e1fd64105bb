//! Independent programs take what the crate issues: OpenSSL and GnuTLS (C), Java's own TLS, asn1crypto (Python).
#![cfg(target_os = "linux")]

mod issued;
mod openssl;
mod parsers;
mod tls;
