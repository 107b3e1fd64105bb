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

/* What is offered, instead of a list of all there are; the crate's features say which ciphers exist. */
#define MBEDTLS_SSL_CIPHERSUITES \
    MBEDTLS_TLS1_3_AES_256_GCM_SHA384, MBEDTLS_TLS1_3_AES_128_GCM_SHA256, \
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, MBEDTLS_TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, \
    MBEDTLS_TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, MBEDTLS_TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256

/* Multiples of the curves' base points are computed, not kept. */
#define MBEDTLS_ECP_FIXED_POINT_OPTIM 0

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
