/* Mbed TLS for a device: a TLS client with an elliptic-curve key. What the crate mbedtls-rs chose comes first; here goes what
   it cannot leave out, and what a device has no use for. tools/firmware hands this file to the compiler and to bindgen alike,
   so that both see the same structures. */
#include "mbedtls/mbedtls_config.h"
#ifdef MBEDTLS_USER_CONFIG_FILE
#include MBEDTLS_USER_CONFIG_FILE
#undef MBEDTLS_USER_CONFIG_FILE
#endif

/* A device is no server. */
#undef MBEDTLS_SSL_SRV_C

/* Every connection is a full handshake: the device is online for days. Tickets are passed over. */
#undef MBEDTLS_SSL_SESSION_TICKETS
#undef MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_ENABLED
#undef MBEDTLS_SSL_TLS1_3_KEY_EXCHANGE_MODE_PSK_EPHEMERAL_ENABLED
#undef MBEDTLS_SSL_CONTEXT_SERIALIZATION

/* A server that wants to negotiate anew is refused; the extension against attacks on that is sent nevertheless. */
#undef MBEDTLS_SSL_RENEGOTIATION

/* There is room for whole records, and no cipher suite with a MAC of its own. */
#undef MBEDTLS_SSL_MAX_FRAGMENT_LENGTH
#undef MBEDTLS_SSL_ENCRYPT_THEN_MAC

/* Nobody gives revocation lists or signing requests. */
#undef MBEDTLS_X509_CRL_PARSE_C
#undef MBEDTLS_X509_CSR_PARSE_C

/* Curves by their names only. */
#undef MBEDTLS_PK_PARSE_EC_EXTENDED

/* Loops instead of unrolled rounds. */
#define MBEDTLS_SHA256_SMALLER
#define MBEDTLS_SHA512_SMALLER

/* What the crate's bindings name, and no program here calls. */
#ifndef BINDINGS
/* Certificates are not printed. */
#define MBEDTLS_X509_REMOVE_INFO
/* Only counter modes are in use, which never decrypt a block. */
#define MBEDTLS_BLOCK_CIPHER_NO_DECRYPT
#endif
