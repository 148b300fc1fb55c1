/*
 * Heat in a rod, computed by several processes on one shared array, step by step.
 *
 *     heat [PROCESSES [CELLS [STEPS]]]
 *
 * Shows a segment with two arrays and a mutex in it, forked workers that use inherited handles, and what a worker's death means to the others.
 */
#include <inttypes.h>
#include <shm.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* Ends the program with the library's text if a call failed. */
static void must(shm_status_t status)
{
    if (status != SHM_STATUS_OK) {
        fprintf(stderr, "heat: %s\n", shm_last_error());
        exit(1);
    }
}

/* Adds to the sum that all workers share. Whoever died in here has at worst not added, so there is nothing to mend. */
static void add(shm_mutex_t lock, double *sum, double heat)
{
    shm_status_t status = shm_mutex_lock(lock);
    if (status == SHM_STATUS_OWNER_DIED)
        must(shm_mutex_recover(lock));
    else
        must(status);
    *sum += heat;
    must(shm_mutex_unlock(lock));
}

/* One step for the cells from `from` to `to`: half of the difference to the neighbours flows. */
static void step(const double *before, double *after, int64_t from, int64_t to, int64_t cells)
{
    for (int64_t i = from; i < to; i++) {
        double left = before[i > 0 ? i - 1 : i], right = before[i < cells - 1 ? i + 1 : i];
        after[i] = before[i] + (left - 2.0 * before[i] + right) / 4.0;
    }
}

int main(int argc, char **argv)
{
    const int64_t workers = argc > 1 ? atoi(argv[1]) : 2;
    const int64_t cells = argc > 2 ? atoll(argv[2]) : 100000;
    const int64_t steps = argc > 3 ? atoll(argv[3]) : 100;
    if (workers < 1 || cells < 2 || steps < 0) {
        fprintf(stderr, "usage: heat [PROCESSES [CELLS [STEPS]]]\n");
        return 2;
    }

    /* Two arrays, a sum and the lock of the sum, in one segment without a name: the workers inherit it. */
    const int64_t rods[2] = { 2, cells }, one[1] = { 1 };
    const shm_dtype_t f64 = shm_dtype(SHM_TYPE_FLOAT, 64);
    shm_contents_t plan;
    must(shm_contents_create(&plan));
    must(shm_contents_add_mutex(plan, "lock", 0));
    must(shm_contents_add_array(plan, "sum", f64, one, 1, SHM_ORDER_C));
    must(shm_contents_add_array(plan, "rods", f64, rods, 2, SHM_ORDER_C));
    shm_segment_t segment;
    must(shm_segment_create(NULL, NULL, plan, &segment));
    must(shm_contents_free(plan));

    shm_mutex_t lock;
    shm_array_t sum_array, rod_array;
    must(shm_mutex_attach_in(segment, "lock", 0, &lock));
    must(shm_array_attach_in(segment, "sum", &sum_array));
    must(shm_array_attach_in(segment, "rods", &rod_array));
    void *sum, *rod;
    must(shm_array_data(sum_array, &sum));
    must(shm_array_data(rod_array, &rod));
    double *now = rod, *next = now + cells;
    now[0] = (double)cells; /* all the heat is at one end */

    for (int64_t i = 0; i < steps; i++) {
        *(double *)sum = 0.0;
        for (int64_t worker = 0; worker < workers; worker++) {
            pid_t child = fork();
            if (child < 0) {
                perror("heat: fork");
                return 1;
            }
            if (child == 0) {
                int64_t from = cells * worker / workers, to = cells * (worker + 1) / workers;
                double heat = 0.0;
                step(now, next, from, to, cells);
                for (int64_t cell = from; cell < to; cell++)
                    heat += next[cell];
                add(lock, sum, heat);
                _exit(0);
            }
        }
        for (int64_t worker = 0; worker < workers; worker++) {
            int how;
            if (wait(&how) < 0 || !WIFEXITED(how) || WEXITSTATUS(how) != 0) {
                fprintf(stderr, "heat: a worker died in step %" PRId64 "\n", i);
                return 1;
            }
        }
        double *swap = now;
        now = next;
        next = swap;
    }

    double total = steps > 0 ? *(double *)sum : (double)cells;
    printf("%" PRId64 " cells, %" PRId64 " steps, %" PRId64 " processes: heat %.6f of %" PRId64 "\n", cells, steps, workers, total,
           cells);
    must(shm_array_detach(sum_array));
    must(shm_array_detach(rod_array));
    must(shm_mutex_detach(lock));
    must(shm_segment_detach(segment));
    double lost = total - (double)cells;
    return lost * lost < 1e-6 * (double)cells ? 0 : 1;
}
