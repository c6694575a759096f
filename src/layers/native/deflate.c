/*
 * Finds the matches of a segment: hash chains over the last 32 KiB, the longest match taken (levels 1 to 3) or put off by
 * one byte when the next one is better (4 to 9).
 *
 * Positions are kept modulo 65536, so the tables never need to be moved along; a stale position then stands for another
 * one, which costs nothing but a look, for bytes are compared before a match is believed.
 */
#include "deflate.h"

#include <stdlib.h>

#define HASH_BITS 15
#define NEAR_BITS 14
#define MASK (DEFLATE_WINDOW - 1)
/* A match of three bytes from farther away costs more than three literals. */
#define NEAR_DISTANCE 4096u
/* Input whose symbols are counted together: a block is made of whole chunks. */
#define CHUNK_BYTES (16u * 1024)
/* What the codes of a block take, about. */
#define CODES_BITS 700
#define BLOCK_BYTES (16 * CHUNK_BYTES)
/* A sequence takes three bytes at least. */
#define BLOCK_SEQUENCES (BLOCK_BYTES / 3 + 2 * 16)

struct deflate {
    uint16_t heads[1u << HASH_BITS];
    uint16_t near[1u << NEAR_BITS];
    uint16_t before[DEFLATE_WINDOW];
    struct sequence sequences[BLOCK_SEQUENCES];
};

struct effort {
    /* Candidates looked at. */
    unsigned depth;
    /* A match of this length is good enough. */
    unsigned nice;
    bool lazy;
};

static const struct effort efforts[10] = {
    {0, 0, false},  {1, 32, false}, {4, 16, false},  {8, 24, false},   {4, 24, true},
    {10, 32, true}, {24, 64, true}, {48, 128, true}, {128, 258, true}, {512, 258, true},
};

struct match {
    uint32_t length;
    uint32_t distance;
};

struct deflate *deflate_new(void) {
    return malloc(sizeof(struct deflate));
}

void deflate_free(struct deflate *deflate) {
    free(deflate);
}

size_t deflate_bound(size_t length) {
    return length + 5 * (length / 8192 + 2) + 16;
}

static inline uint32_t load32(const uint8_t *at) {
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return le32toh(value);
}

static inline uint64_t load64(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return le64toh(value);
}

static inline uint32_t hash4(uint32_t bytes) {
    return (bytes * 0x9e3779b1u) >> (32 - HASH_BITS);
}

static inline uint32_t hash3(uint32_t bytes) {
    return ((bytes << 8) * 0x85ebca6bu) >> (32 - NEAR_BITS);
}

static inline uint32_t equal_bytes(const uint8_t *a, const uint8_t *b, uint32_t from, uint32_t most) {
    uint32_t length = from;
    while (length + 8 <= most) {
        uint64_t difference = load64(a + length) ^ load64(b + length);
        if (difference) return length + ((uint32_t)__builtin_ctzll(difference) >> 3);
        length += 8;
    }
    while (length < most && a[length] == b[length]) length++;
    return length;
}

/* Four bytes at least must follow `at`. */
static inline void insert(struct deflate *d, const uint8_t *data, uint32_t at) {
    uint32_t bytes = load32(data + at);
    uint32_t hash = hash4(bytes);
    d->before[at & MASK] = d->heads[hash];
    d->heads[hash] = (uint16_t)at;
}

/* The longest match at `at` that is longer than `floor`, of at most `most` bytes; length 0: none. Inserts the position. */
static inline __attribute__((always_inline)) struct match find(struct deflate *d, const uint8_t *data, uint32_t at,
                                                               uint32_t most, uint32_t floor,
                                                               const struct effort *effort) {
    const uint8_t *here = data + at;
    uint32_t bytes = load32(here);
    uint32_t hash = hash4(bytes);
    uint32_t distance = (uint16_t)(at - d->heads[hash]);
    uint32_t near = (uint16_t)(at - d->near[hash3(bytes)]);
    uint32_t best = floor;
    struct match match = {0, 0};
    d->before[at & MASK] = d->heads[hash];
    d->heads[hash] = (uint16_t)at;
    d->near[hash3(bytes)] = (uint16_t)at;
    if (best < 3) {
        if (near - 1 < NEAR_DISTANCE && near <= at && (load32(here - near) ^ bytes) << 8 == 0) {
            match = (struct match){3, near};
        }
        best = 3;
    }
    if (best >= most) return match;
    __builtin_prefetch(&d->heads[hash4(load32(here + 1))]);
    uint32_t nice = effort->nice < most ? effort->nice : most;
    uint32_t last = 0;
    for (unsigned depth = effort->depth; depth > 0 && distance > last; depth--) {
        if (distance >= DEFLATE_WINDOW || distance > at) break;
        const uint8_t *there = here - distance;
        if (load32(there + best - 3) == load32(here + best - 3) && load32(there) == bytes) {
            uint32_t length = equal_bytes(there, here, 4, most);
            if (length > best) {
                best = length;
                match = (struct match){length, distance};
                if (length >= nice) break;
            }
        }
        last = distance;
        distance = (uint16_t)(at - d->before[(at - distance) & MASK]);
    }
    return match;
}

static inline uint32_t least(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}

/* Whether it pays to put off a match by a literal: a byte more is worth four bits, a distance its logarithm. */
static inline bool is_better(struct match next, struct match now) {
    int length = (int)next.length - (int)now.length;
    return 4 * length + (__builtin_clz(next.distance) - __builtin_clz(now.distance)) > 2;
}

/*
 * Puts the sequences of a chunk that starts at `at` to `*sequences`; returns where it ends. After many bytes without a
 * match, most are not even looked at: what was compressed or encrypted before takes little more than the time to read it.
 */
static inline __attribute__((always_inline)) uint32_t parse(struct deflate *d, const uint8_t *data, uint32_t at, uint32_t end,
                                                           const struct effort *effort, bool lazy,
                                                           struct sequence **sequences) {
    uint32_t stop = least(end, at + CHUNK_BYTES);
    uint32_t searchable = end < 8 ? 0 : end - 8;
    uint32_t literals = 0;
    struct sequence *next_sequence = *sequences;
    while (at < stop) {
        struct match match = {0, 0};
        if (at < searchable) match = find(d, data, at, least(end - at, DEFLATE_LONGEST), 2, effort);
        if (match.length == 0) {
            uint32_t step = least(1 + (literals >> 7), least(64, stop - at));
            literals += step;
            at += step;
            continue;
        }
        if (at + match.length < searchable) __builtin_prefetch(&d->heads[hash4(load32(data + at + match.length))]);
        uint32_t inserted = at + 1;
        while (lazy && match.length < effort->nice && at + 1 < searchable) {
            struct match next = find(d, data, at + 1, least(end - at - 1, DEFLATE_LONGEST), match.length - 1, effort);
            inserted = at + 2;
            if (next.length == 0 || !is_better(next, match)) break;
            match = next;
            literals++;
            at++;
        }
        *next_sequence++ = (struct sequence){literals, (uint16_t)match.length, (uint16_t)match.distance};
        literals = 0;
        at += match.length;
        for (uint32_t to = least(at, searchable); inserted < to; inserted++) insert(d, data, inserted);
    }
    if (literals > 0) *next_sequence++ = (struct sequence){literals, 0, 0};
    *sequences = next_sequence;
    return at;
}

static uint32_t parse_chunk(struct deflate *d, const uint8_t *data, uint32_t at, uint32_t end,
                            const struct effort *effort, struct sequence **sequences) {
    /* Two copies of the loop, each without the other's branches. */
    if (effort->lazy) return parse(d, data, at, end, effort, true, sequences);
    return parse(d, data, at, end, effort, false, sequences);
}

/* n * log2(n) in 1/256, by integers, so that it is the same everywhere; log2(1 + f) is about f + 0.344 f (1 - f). */
static uint64_t n_log_n(uint64_t n) {
    if (n < 2) return 0;
    unsigned whole = 63 - (unsigned)__builtin_clzll(n);
    uint64_t fraction = ((n << 16) >> whole) - 65536;
    uint64_t log = ((uint64_t)whole << 16) + fraction + ((fraction * (65536 - fraction) >> 16) * 22545 >> 16);
    return n * log >> 8;
}

/* Bits in 1/256 that the symbols take with the best code for them. */
static uint64_t entropy(const uint32_t *counts, unsigned count) {
    uint64_t total = 0, bits = 0;
    for (unsigned i = 0; i < count; i++) {
        total += counts[i];
        bits += n_log_n(counts[i]);
    }
    return n_log_n(total) - bits;
}

static uint64_t estimate(const struct symbol_counts *counts) {
    return entropy(counts->literals, DEFLATE_LITERALS) + entropy(counts->distances, DEFLATE_DISTANCES);
}

static void add_counts(struct symbol_counts *sum, const struct symbol_counts *more) {
    for (unsigned i = 0; i < DEFLATE_LITERALS; i++) sum->literals[i] += more->literals[i];
    for (unsigned i = 0; i < DEFLATE_DISTANCES; i++) sum->distances[i] += more->distances[i];
    sum->extra_bits += more->extra_bits;
}

/* Sequences that are not written yet: whole chunks from `begin` on. */
struct block {
    struct symbol_counts counts;
    uint64_t bits;
    uint32_t begin;
    size_t sequences;
};

/* Takes a chunk into the block, or says that it is better off with codes of its own. */
static bool takes(struct block *block, const struct symbol_counts *chunk, uint64_t chunk_bits) {
    struct symbol_counts both = block->counts;
    add_counts(&both, chunk);
    uint64_t bits = estimate(&both);
    if (bits > block->bits + chunk_bits + CODES_BITS * 256) return false;
    block->counts = both;
    block->bits = bits;
    return true;
}

static void write_blocks(struct deflate *d, struct bit_writer *writer, const uint8_t *data, uint32_t at, uint32_t end,
                         bool last, const struct effort *effort) {
    struct block block = {.begin = at};
    while (at < end) {
        uint32_t begin = at;
        struct sequence *first = d->sequences + block.sequences, *behind = first;
        at = parse_chunk(d, data, at, end, effort, &behind);
        size_t added = (size_t)(behind - first);
        struct symbol_counts chunk;
        count_symbols(&chunk, data + begin, first, added);
        uint64_t bits = estimate(&chunk);
        if (block.sequences == 0 || !takes(&block, &chunk, bits)) {
            if (block.sequences > 0)
                deflate_block(writer, &block.counts, data + block.begin, begin - block.begin, d->sequences,
                              block.sequences, false);
            memmove(d->sequences, first, added * sizeof *first);
            block = (struct block){chunk, bits, begin, 0};
        }
        block.sequences += added;
        if (at == end || at - block.begin > BLOCK_BYTES - 2 * CHUNK_BYTES) {
            deflate_block(writer, &block.counts, data + block.begin, at - block.begin, d->sequences, block.sequences,
                          last && at == end);
            block.begin = at;
            block.sequences = 0;
        }
    }
}

size_t deflate_segment(struct deflate *d, const uint8_t *data, size_t window, size_t length, bool last, int level,
                       uint8_t *out) {
    struct bit_writer writer = {out, 0, 0};
    uint32_t at = (uint32_t)window, end = (uint32_t)(window + length);
    if (level == 0 || length == 0) {
        deflate_stored(&writer, data + at, length, last);
        return (size_t)(writer.next - out);
    }
    memset(d, 0, offsetof(struct deflate, sequences));
    for (uint32_t position = 0; position < at && position + 8 < end; position++) insert(d, data, position);
    write_blocks(d, &writer, data, at, end, last, &efforts[level]);
    if (last) writer.next += writer.count > 0;
    else deflate_stored(&writer, data, 0, false);
    return (size_t)(writer.next - out);
}
