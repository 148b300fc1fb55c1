/* A program whose library must notice forks, however it was linked: what the child inherits is not the child's. */
#include "check.h"

int main(void)
{
    shm_mutex_t mutex, fresh;
    shm_process_mutex_t open;
    uint32_t holder = 0;
    OK(shm_mutex_create(NULL, NULL, 0, &mutex));
    OK(shm_process_mutex_create(NULL, NULL, &open));
    OK(shm_mutex_lock(mutex));
    OK(shm_process_mutex_lock(open));
    IN_CHILD({
        /* Whoever did not notice the fork would take itself for the parent, and give up the parent's lock. */
        IS(SHM_STATUS_INHERITED, shm_mutex_unlock(mutex));
        SAYS("forked");
        IS(SHM_STATUS_BUSY, shm_mutex_try_lock(mutex));
        /* A handle of its own works, and is known under the child's number. */
        OK(shm_mutex_create(NULL, NULL, 0, &fresh));
        OK(shm_mutex_lock(fresh));
        OK(shm_mutex_unlock(fresh));
        /* This one any process may release: the child does, and takes it as itself. */
        OK(shm_process_mutex_unlock(open));
        OK(shm_process_mutex_lock(open));
        OK(shm_process_mutex_holder(open, &holder));
        CHECK(holder == (uint32_t)getpid());
        OK(shm_process_mutex_unlock(open));
        /* So it does in a child of the child. */
        OK(shm_mutex_lock(fresh));
        IN_CHILD({ IS(SHM_STATUS_INHERITED, shm_mutex_unlock(fresh)); });
        OK(shm_mutex_unlock(fresh));
    });
    OK(shm_mutex_unlock(mutex));
    OK(shm_mutex_detach(mutex));
    OK(shm_process_mutex_detach(open));
    puts("all well");
    return 0;
}
