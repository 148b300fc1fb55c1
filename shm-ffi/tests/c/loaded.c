/* A program that loads the library while it runs, as a plugin does, uses it in a thread that ends, and closes it, again and again: the library
 * stays where it is, and so does all that it holds. argv: the library. */
#include "check.h"

#include <dlfcn.h>
#include <pthread.h>

#define FIND(name) __typeof__(&name) name##_ = (__typeof__(&name))dlsym(library, #name)

static shm_mutex_t kept;
static int round_number;

static void *use(void *library)
{
    FIND(shm_mutex_create);
    FIND(shm_mutex_lock);
    FIND(shm_mutex_unlock);
    FIND(shm_mutex_detach);
    FIND(shm_last_error);
    shm_mutex_t mutex;
    if (round_number == 0 && shm_mutex_create_(NULL, NULL, 0, &kept) != SHM_STATUS_OK)
        abort();
    if (shm_mutex_lock_(kept) != SHM_STATUS_OK || shm_mutex_unlock_(kept) != SHM_STATUS_OK) {
        fprintf(stderr, "what the first round has made is not there: %s\n", shm_last_error_());
        exit(1);
    }
    if (shm_mutex_create_(NULL, NULL, 0, &mutex) != SHM_STATUS_OK || shm_mutex_detach_(mutex) != SHM_STATUS_OK ||
        shm_mutex_detach_(mutex) != SHM_STATUS_INVALID_HANDLE)
        abort();
    return NULL;
}

static int mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    int lines = 0, character;
    while ((character = getc(maps)) != EOF)
        lines += character == '\n';
    fclose(maps);
    return lines;
}

int main(int count, char **arguments)
{
    int before = 0;
    if (count != 2)
        return 2;
    for (round_number = 0; round_number < 100; round_number++) {
        void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
        pthread_t thread;
        if (library == NULL || pthread_create(&thread, NULL, use, library) != 0 || pthread_join(thread, NULL) != 0 ||
            dlclose(library) != 0)
            abort();
        /* The handlers of a fork are not called in pages that are gone. */
        const pid_t child = fork();
        int how = -1;
        if (child == 0)
            _exit(0);
        if (waitpid(child, &how, 0) != child || how != 0)
            abort();
        if (round_number == 10)
            before = mappings();
    }
    if (mappings() > before + 20) {
        fprintf(stderr, "%d mappings have become %d\n", before, mappings());
        return 1;
    }
    puts("all well");
    return 0;
}
