/* Module files as bytes: shared with the fuzzer, which makes checksums right again after its
 * edits. */
#ifndef LATHE_RUNTIME_MODULE_FORMAT_H
#define LATHE_RUNTIME_MODULE_FORMAT_H

#include <stddef.h>
#include <stdint.h>

#define SECTIONS(X)                                                                                \
    X(VALUES)                                                                                      \
    X(VARS) X(BUFFERS) X(CONSTS) X(INPUTS) X(OUTPUTS) X(KERNELS) X(STEPS) X(ARGS) X(TEXTS)         \
        X(BLOBS) X(ENTRIES) X(NAMES) X(CODE) X(DATA)

typedef enum Section {
#define X(name) SECTION_##name,
    SECTIONS(X)
#undef X
    SECTION_COUNT
} Section;

typedef struct FileSection {
    uint64_t offset, size, hash; /* DATA has none of its own: each span has one */
} FileSection;

typedef struct FileHeader {
    char magic[8];
    uint32_t format, abi;
    uint64_t file_size;
    char target[32], precision[16];
    FileSection section[SECTION_COUNT];
    uint64_t hash; /* of all before it */
} FileHeader;

typedef struct FileVar {
    uint32_t name;
    int32_t value, input, axis;
} FileVar;
typedef struct FileSpan { /* a constant or a blob: place in DATA */
    uint64_t offset, size, hash;
} FileSpan;
typedef struct FilePort {
    uint32_t name;
    int32_t buffer;
} FilePort;
typedef struct FileKernel {
    uint32_t name;
    int32_t entry, nphase;
    float unit_ns;
    int64_t scratch_bytes;
    double flops;
    uint32_t source, product;
} FileKernel;
typedef struct FileEntry {
    uint32_t name, offset, size;
} FileEntry;

/* Of a span: of these there may be much. The sections have base/map.h's hash_bytes. */
uint64_t module_data_hash(const void *at, size_t size);

#endif
