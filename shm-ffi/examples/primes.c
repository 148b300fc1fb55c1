/*
 * Counts primes with a pool of worker processes, in blocks of numbers.
 *
 *     primes [LIMIT [WORKERS]]
 *
 * Shows a map with results of a fixed size, what is left when an item fails, and that other items are not lost with it.
 */
#include <inttypes.h>
#include <shm.h>
#include <stdio.h>
#include <stdlib.h>

#define BLOCK 10000

static void must(shm_status_t status)
{
    if (status != SHM_STATUS_OK) {
        fprintf(stderr, "primes: %s\n", shm_last_error());
        exit(1);
    }
}

static int is_prime(uint64_t number)
{
    if (number < 2)
        return 0;
    for (uint64_t divisor = 2; divisor * divisor <= number; divisor++)
        if (number % divisor == 0)
            return 0;
    return 1;
}

/* In a worker: the primes of one block. */
static int32_t count(void *limit, uint64_t block, void *result)
{
    uint64_t end = (block + 1) * BLOCK;
    if (end > *(uint64_t *)limit)
        end = *(uint64_t *)limit;
    for (uint64_t number = block * BLOCK; number < end; number++)
        *(uint64_t *)result += (uint64_t)is_prime(number);
    return 0;
}

int main(int count_of_arguments, char **arguments)
{
    uint64_t limit = count_of_arguments > 1 ? strtoull(arguments[1], NULL, 10) : 1000000;
    uint64_t blocks = limit / BLOCK + (limit % BLOCK != 0), total = 0;
    shm_pool_options_t options = SHM_POOL_OPTIONS_INIT;
    options.workers = count_of_arguments > 2 ? strtoull(arguments[2], NULL, 10) : 0;
    options.retries = 1; /* a block whose worker was killed is counted by another one */
    shm_pool_t pool;
    must(shm_pool_create(&options, &pool));
    uint64_t *counts = calloc(blocks > 0 ? blocks : 1, sizeof *counts);
    if (counts == NULL)
        return 1;
    must(shm_pool_map(pool, blocks, count, &limit, sizeof *counts, counts));
    for (uint64_t block = 0; block < blocks; block++)
        total += counts[block];
    printf("%" PRIu64 " primes below %" PRIu64 "\n", total, limit);
    free(counts);
    must(shm_pool_free(pool));
    return 0;
}
