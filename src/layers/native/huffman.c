/* Huffman codes of limited length. Pure: equal frequencies give equal codes everywhere. */
#include "deflate.h"

#include <stdlib.h>

#define MOST_SYMBOLS 288
#define LONGEST_CODE 15

static int ascending(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Depths of the leaves of Huffman's tree, whose weights come in ascending order. Leaves and inner nodes are two queues. */
static void tree_depths(const uint64_t *leaves, unsigned count, unsigned *depths) {
    uint32_t weights[MOST_SYMBOLS];
    unsigned parents[2 * MOST_SYMBOLS];
    unsigned leaf = 0, inner = 0;
    for (unsigned made = 0; made + 1 < count; made++) {
        uint32_t weight = 0;
        for (int child = 0; child < 2; child++) {
            bool takes_leaf = leaf < count && (inner >= made || (leaves[leaf] >> 16) <= weights[inner]);
            unsigned node = takes_leaf ? leaf : count + inner;
            weight += takes_leaf ? (uint32_t)(leaves[leaf] >> 16) : weights[inner];
            if (takes_leaf) leaf++;
            else inner++;
            parents[node] = count + made;
        }
        weights[made] = weight;
    }
    unsigned root = 2 * count - 2;
    unsigned inner_depths[MOST_SYMBOLS] = {0};
    for (unsigned node = root; node-- > count;) inner_depths[node - count] = inner_depths[parents[node] - count] + 1;
    for (unsigned node = 0; node < count; node++) depths[node] = inner_depths[parents[node] - count] + 1;
}

void huffman_lengths(const uint32_t *frequencies, unsigned count, unsigned limit, uint8_t *lengths) {
    /* Frequency above, symbol below: sorting has one result. */
    uint64_t leaves[MOST_SYMBOLS];
    unsigned depths[MOST_SYMBOLS];
    unsigned used = 0;
    for (unsigned symbol = 0; symbol < count; symbol++) {
        lengths[symbol] = 0;
        if (frequencies[symbol]) leaves[used++] = (uint64_t)frequencies[symbol] << 16 | symbol;
    }
    qsort(leaves, used, sizeof *leaves, ascending);
    tree_depths(leaves, used, depths);
    unsigned of_length[LONGEST_CODE + 1] = {0};
    uint32_t taken = 0;
    for (unsigned i = 0; i < used; i++) {
        unsigned length = depths[i] < limit ? depths[i] : limit;
        of_length[length]++;
        taken += 1u << (limit - length);
    }
    /* Cutting depths took more of the code space than there is: push a shorter code down beside one of the longest. */
    for (; taken > 1u << limit; taken--) {
        unsigned length = limit - 1;
        while (of_length[length] == 0) length--;
        of_length[length]--;
        of_length[length + 1] += 2;
        of_length[limit]--;
    }
    unsigned next = 0;
    for (unsigned length = limit; length > 0; length--)
        for (unsigned i = 0; i < of_length[length]; i++) lengths[leaves[next++] & 0xffff] = (uint8_t)length;
}

void huffman_codes(const uint8_t *lengths, unsigned count, uint16_t *codes) {
    unsigned of_length[LONGEST_CODE + 1] = {0};
    unsigned next[LONGEST_CODE + 1];
    for (unsigned symbol = 0; symbol < count; symbol++) of_length[lengths[symbol]]++;
    of_length[0] = 0;
    next[0] = 0;
    for (unsigned length = 1; length <= LONGEST_CODE; length++) next[length] = (next[length - 1] + of_length[length - 1]) << 1;
    for (unsigned symbol = 0; symbol < count; symbol++) {
        unsigned code = next[lengths[symbol]]++;
        unsigned reversed = 0;
        for (unsigned bit = 0; bit < lengths[symbol]; bit++) reversed |= (code >> bit & 1) << (lengths[symbol] - 1 - bit);
        codes[symbol] = (uint16_t)reversed;
    }
}
