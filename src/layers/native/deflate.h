/*
 * Deflate (RFC 1951) as tsbuild writes it: the same bytes on every processor, with every compiler and every Node version.
 * Pure functions of their arguments: no files, no threads, no Node.
 */
#ifndef TSBUILD_LAYERS_DEFLATE_H
#define TSBUILD_LAYERS_DEFLATE_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define DEFLATE_WINDOW 32768u
#define DEFLATE_LONGEST 258u
struct deflate;

/* Of `deflate_segment`; enough for segments of `length` bytes whatever they hold. */
size_t deflate_bound(size_t length);

struct deflate *deflate_new(void);
void deflate_free(struct deflate *deflate);

/*
 * Compresses data[window .. window + length); the `window` bytes before (at most DEFLATE_WINDOW) may be referred to.
 * Ends on a byte boundary: with the last block of the stream, else with an empty stored one, so that segments can be
 * joined. Returns the bytes put to `out`, which has room for `deflate_bound(length)`. Levels 1 to 9; 0 stores.
 */
size_t deflate_segment(struct deflate *deflate, const uint8_t *data, size_t window, size_t length, bool last, int level,
                       uint8_t *out);

/* Below: what the parts of the encoder share. */

#define DEFLATE_LITERALS 286
#define DEFLATE_DISTANCES 30

/* A run of literals, then a match; the last of a chunk may have length 0, no match. */
struct sequence {
    uint32_t literals;
    uint16_t length;
    uint16_t distance;
};

/* How often each symbol occurs, and the bits beside the codes. */
struct symbol_counts {
    uint32_t literals[DEFLATE_LITERALS];
    uint32_t distances[DEFLATE_DISTANCES];
    uint64_t extra_bits;
};

/* Bits not yet written are in `bits`, fewer than 8 after a flush. */
struct bit_writer {
    uint8_t *next;
    uint64_t bits;
    unsigned count;
};

/* At most 56 bits between two flushes. */
static inline void put_bits(struct bit_writer *writer, uint64_t bits, unsigned count) {
    writer->bits |= bits << writer->count;
    writer->count += count;
}

/* Writes 8 bytes, of which only the finished ones count. */
static inline void flush_bits(struct bit_writer *writer) {
    uint64_t bits = htole64(writer->bits);
    memcpy(writer->next, &bits, sizeof bits);
    writer->next += writer->count >> 3;
    writer->bits >>= writer->count & ~7u;
    writer->count &= 7;
}

void count_symbols(struct symbol_counts *counts, const uint8_t *data, const struct sequence *sequences, size_t count);
/* Writes the block with codes of its own, or stored where that is shorter. The counts are of these sequences. */
void deflate_block(struct bit_writer *writer, const struct symbol_counts *counts, const uint8_t *data, size_t length,
                   const struct sequence *sequences, size_t count, bool last);
/* Writes stored blocks; an empty one for no bytes. */
void deflate_stored(struct bit_writer *writer, const uint8_t *data, size_t length, bool last);

/* Code lengths of `count` symbols (at most 288), none above `limit`; 0 for a frequency of 0. Two symbols at least must be used. */
void huffman_lengths(const uint32_t *frequencies, unsigned count, unsigned limit, uint8_t *lengths);
/* The canonical codes (RFC 1951, 3.2.2), first bit lowest, as they are written. */
void huffman_codes(const uint8_t *lengths, unsigned count, uint16_t *codes);

#endif
