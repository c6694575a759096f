/*
 * One block of deflate: sequences written with codes made for them, or the bytes as they are.
 * Invariant: a block is never longer than stored blocks of the same bytes.
 */
#include "deflate.h"

#define LITERALS DEFLATE_LITERALS
#define DISTANCES DEFLATE_DISTANCES
#define PRECODES 19
#define END_OF_BLOCK 256
/* Four literals fit between two flushes: 4 * 14 + 7 bits. */
#define LONGEST_LITERAL_CODE 14
#define STORED_MOST 65535

struct codes {
    uint8_t lengths[LITERALS + DISTANCES];
    uint16_t literals[LITERALS];
    uint16_t distances[DISTANCES];
};

/* The code lengths as they are written: a symbol of the precode below, its extra bits above. */
struct lengths_code {
    uint32_t counts[PRECODES];
    uint16_t items[LITERALS + DISTANCES];
    unsigned count;
    unsigned literals;
    unsigned distances;
    uint8_t lengths[PRECODES];
    unsigned sent;
};

static unsigned floor_log2(uint32_t value) {
    return 31 - (unsigned)__builtin_clz(value);
}

/* RFC 1951, 3.2.5: symbols go up in steps that double every four (lengths) and every two (distances). */
static unsigned length_symbol(unsigned length, unsigned *extra_bits) {
    unsigned value = length - 3;
    *extra_bits = 0;
    if (length == DEFLATE_LONGEST) return 285;
    if (value < 8) return 257 + value;
    *extra_bits = floor_log2(value) - 2;
    return 257 + 4 * *extra_bits + (value >> *extra_bits);
}

static inline unsigned distance_symbol(unsigned distance, unsigned *extra_bits) {
    unsigned value = distance - 1;
    *extra_bits = 0;
    if (value < 4) return value;
    *extra_bits = floor_log2(value) - 1;
    return 2 * *extra_bits + (value >> *extra_bits);
}

void count_symbols(struct symbol_counts *counts, const uint8_t *data, const struct sequence *sequences, size_t count) {
    unsigned bits;
    uint32_t lengths[DEFLATE_LONGEST + 1] = {0};
    memset(counts, 0, sizeof *counts);
    for (size_t i = 0; i < count; i++) {
        const uint8_t *end = data + sequences[i].literals;
        while (data < end) counts->literals[*data++]++;
        if (sequences[i].length == 0) continue;
        lengths[sequences[i].length]++;
        counts->distances[distance_symbol(sequences[i].distance, &bits)]++;
        counts->extra_bits += bits;
        data += sequences[i].length;
    }
    for (unsigned length = 3; length <= DEFLATE_LONGEST; length++) {
        counts->literals[length_symbol(length, &bits)] += lengths[length];
        counts->extra_bits += (uint64_t)bits * lengths[length];
    }
}

/* A code of fewer than two symbols is no code to some decoders. */
static void at_least_two(uint32_t *counts, unsigned symbols) {
    unsigned used = 0;
    for (unsigned i = 0; i < symbols; i++) used += counts[i] > 0;
    for (unsigned i = 0; used < 2; i++)
        if (counts[i] == 0) {
            counts[i] = 1;
            used++;
        }
}

static void add_item(struct lengths_code *code, unsigned symbol, unsigned extra) {
    code->counts[symbol]++;
    code->items[code->count++] = (uint16_t)(symbol | extra << 8);
}

/* Runs of equal lengths (RFC 1951, 3.2.7): 16 repeats the last 3 to 6 times, 17 and 18 stand for zeros. */
static void encode_lengths(struct lengths_code *code, const uint8_t *lengths, unsigned count) {
    for (unsigned at = 0; at < count;) {
        unsigned run = 1;
        while (at + run < count && lengths[at + run] == lengths[at]) run++;
        uint8_t length = lengths[at];
        at += run;
        if (length != 0) {
            add_item(code, length, 0);
            run--;
        }
        while (length == 0 && run >= 11) {
            unsigned taken = run < 138 ? run : 138;
            add_item(code, 18, taken - 11);
            run -= taken;
        }
        if (length == 0 && run >= 3) {
            add_item(code, 17, run - 3);
            run = 0;
        }
        while (length != 0 && run >= 3) {
            unsigned taken = run < 6 ? run : 6;
            add_item(code, 16, taken - 3);
            run -= taken;
        }
        for (; run > 0; run--) add_item(code, length, 0);
    }
}

static const uint8_t precode_order[PRECODES] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};

static unsigned item_extra_bits(unsigned symbol) {
    return symbol == 16 ? 2 : symbol == 17 ? 3 : symbol == 18 ? 7 : 0;
}

/* Makes all codes; returns the bits the block takes with them, its header included. */
static uint64_t make_codes(struct symbol_counts counts, struct codes *codes, struct lengths_code *code) {
    uint64_t bits = 3 + 5 + 5 + 4 + counts.extra_bits;
    counts.literals[END_OF_BLOCK] = 1;
    at_least_two(counts.distances, DISTANCES);
    at_least_two(counts.literals, LITERALS);
    huffman_lengths(counts.literals, LITERALS, LONGEST_LITERAL_CODE, codes->lengths);
    memset(code, 0, sizeof *code);
    code->literals = LITERALS;
    while (code->literals > 257 && codes->lengths[code->literals - 1] == 0) code->literals--;
    uint8_t *distances = codes->lengths + code->literals;
    for (unsigned i = 0; i < code->literals; i++) bits += (uint64_t)counts.literals[i] * codes->lengths[i];
    huffman_codes(codes->lengths, code->literals, codes->literals);
    huffman_lengths(counts.distances, DISTANCES, 15, distances);
    code->distances = DISTANCES;
    while (code->distances > 1 && distances[code->distances - 1] == 0) code->distances--;
    for (unsigned i = 0; i < code->distances; i++) bits += (uint64_t)counts.distances[i] * distances[i];
    huffman_codes(distances, code->distances, codes->distances);
    encode_lengths(code, codes->lengths, code->literals + code->distances);
    at_least_two(code->counts, PRECODES);
    huffman_lengths(code->counts, PRECODES, 7, code->lengths);
    code->sent = PRECODES;
    while (code->sent > 4 && code->lengths[precode_order[code->sent - 1]] == 0) code->sent--;
    bits += 3 * code->sent;
    for (unsigned i = 0; i < code->count; i++) {
        unsigned symbol = code->items[i] & 0xff;
        bits += code->lengths[symbol] + item_extra_bits(symbol);
    }
    return bits;
}

static void put_header(struct bit_writer *writer, const struct lengths_code *code, bool last) {
    uint16_t precodes[PRECODES];
    huffman_codes(code->lengths, PRECODES, precodes);
    put_bits(writer, (last ? 1 : 0) | 2 << 1, 3);
    put_bits(writer, code->literals - 257, 5);
    put_bits(writer, code->distances - 1, 5);
    put_bits(writer, code->sent - 4, 4);
    for (unsigned i = 0; i < code->sent; i++) {
        flush_bits(writer);
        put_bits(writer, code->lengths[precode_order[i]], 3);
    }
    for (unsigned i = 0; i < code->count; i++) {
        unsigned symbol = code->items[i] & 0xff;
        flush_bits(writer);
        put_bits(writer, precodes[symbol], code->lengths[symbol]);
        put_bits(writer, code->items[i] >> 8, item_extra_bits(symbol));
    }
}

static void put_sequences(struct bit_writer *writer, const struct codes *codes, const uint8_t *distance_lengths,
                          const uint8_t *data, const struct sequence *sequences, size_t count) {
    /* For every length of a match: its code and extra bits as one, and how many bits that is. */
    uint32_t length_bits[DEFLATE_LONGEST + 1];
    uint8_t length_counts[DEFLATE_LONGEST + 1];
    /* For every byte: its code, and above it the code's length. */
    uint32_t literals[256];
    for (unsigned i = 0; i < 256; i++) literals[i] = codes->literals[i] | (uint32_t)codes->lengths[i] << 16;
    for (unsigned length = 3; length <= DEFLATE_LONGEST; length++) {
        unsigned extra_bits, symbol = length_symbol(length, &extra_bits);
        uint32_t extra = length == DEFLATE_LONGEST ? 0 : (length - 3) & ((1u << extra_bits) - 1);
        length_bits[length] = codes->literals[symbol] | extra << codes->lengths[symbol];
        length_counts[length] = (uint8_t)(codes->lengths[symbol] + extra_bits);
    }
    struct bit_writer w = *writer;
    for (size_t i = 0; i < count; i++) {
        uint32_t run = sequences[i].literals;
        for (; run >= 4; run -= 4, data += 4) {
            flush_bits(&w);
            for (int j = 0; j < 4; j++) put_bits(&w, literals[data[j]] & 0xffff, literals[data[j]] >> 16);
        }
        flush_bits(&w);
        for (; run > 0; run--, data++) put_bits(&w, literals[*data] & 0xffff, literals[*data] >> 16);
        unsigned length = sequences[i].length;
        if (length == 0) continue;
        unsigned extra_bits, symbol = distance_symbol(sequences[i].distance, &extra_bits);
        uint32_t extra = (sequences[i].distance - 1u) & ((1u << extra_bits) - 1);
        flush_bits(&w);
        put_bits(&w, length_bits[length], length_counts[length]);
        put_bits(&w, codes->distances[symbol] | (uint64_t)extra << distance_lengths[symbol],
                 distance_lengths[symbol] + extra_bits);
        data += length;
    }
    flush_bits(&w);
    put_bits(&w, codes->literals[END_OF_BLOCK], codes->lengths[END_OF_BLOCK]);
    flush_bits(&w);
    *writer = w;
}

void deflate_stored(struct bit_writer *writer, const uint8_t *data, size_t length, bool last) {
    do {
        size_t taken = length < STORED_MOST ? length : STORED_MOST;
        length -= taken;
        put_bits(writer, last && length == 0 ? 1 : 0, 3);
        flush_bits(writer);
        writer->next += writer->count > 0;
        writer->bits = 0;
        writer->count = 0;
        put_bits(writer, taken | (uint64_t)(~taken & 0xffff) << 16, 32);
        flush_bits(writer);
        memcpy(writer->next, data, taken);
        writer->next += taken;
        data += taken;
    } while (length > 0);
}

void deflate_block(struct bit_writer *writer, const struct symbol_counts *counts, const uint8_t *data, size_t length,
                   const struct sequence *sequences, size_t count, bool last) {
    struct codes codes;
    struct lengths_code code;
    uint64_t bits = make_codes(*counts, &codes, &code);
    uint64_t stored = 8 * (length + 5 * (length / STORED_MOST + 1));
    if (bits >= stored) {
        deflate_stored(writer, data, length, last);
        return;
    }
    put_header(writer, &code, last);
    put_sequences(writer, &codes, codes.lengths + code.literals, data, sequences, count);
}
