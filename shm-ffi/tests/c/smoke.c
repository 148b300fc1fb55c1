/* One array and one mutex from end to end. */
#include "check.h"

int main(void)
{
    const char *name = unique("array");
    const int64_t shape[2] = { 3, 4 };
    shm_array_t a, b;
    OK(shm_array_create(name, NULL, shm_dtype(SHM_TYPE_FLOAT, 64), shape, 2, SHM_ORDER_C, &a));
    IS(SHM_STATUS_ALREADY_EXISTS, shm_array_create(name, NULL, shm_dtype(SHM_TYPE_FLOAT, 64), shape, 2, SHM_ORDER_C, &b));
    CHECK(b.id == 0);
    SAYS(name);
    OK(shm_array_attach(name, NULL, &b));

    shm_array_info_t info = SHM_ARRAY_INFO_INIT;
    OK(shm_array_info(a, &info));
    CHECK(info.ndim == 2 && info.shape[0] == 3 && info.shape[1] == 4);
    CHECK(info.strides[0] == 32 && info.strides[1] == 8 && info.item_size == 8 && info.length == 12);
    CHECK(info.dtype.code == SHM_TYPE_FLOAT && info.dtype.bits == 64 && info.dtype.lanes == 1);
    double *elements = info.data;
    for (int i = 0; i < 12; i++)
        elements[i] = i;

    OK(shm_array_info(b, &info));
    CHECK(((double *)info.data)[11] == 11.0);
    IN_CHILD({
        shm_array_info_t inherited = SHM_ARRAY_INFO_INIT;
        OK(shm_array_info(a, &inherited));
        CHECK(((double *)inherited.data)[5] == 5.0);
        ((double *)inherited.data)[5] = 50.0;
    });
    CHECK(elements[5] == 50.0);

    shm_mutex_t m;
    OK(shm_mutex_create(NULL, NULL, 0, &m));
    OK(shm_mutex_lock(m));
    IS(SHM_STATUS_DEADLOCK, shm_mutex_lock(m));
    IS(SHM_STATUS_LOCK_HELD, shm_mutex_detach(m));
    IN_CHILD({
        IS(SHM_STATUS_INHERITED, shm_mutex_unlock(m));
        IS(SHM_STATUS_NOT_HELD, shm_mutex_unlock(m));
        IS(SHM_STATUS_BUSY, shm_mutex_try_lock(m));
    });
    OK(shm_mutex_unlock(m));
    IS(SHM_STATUS_NOT_HELD, shm_mutex_unlock(m));
    IN_CHILD({ OK(shm_mutex_lock(m)); }); /* dies with it */
    IS(SHM_STATUS_OWNER_DIED, shm_mutex_lock(m));
    SAYS("died");
    OK(shm_mutex_recover(m));
    OK(shm_mutex_unlock(m));
    IN_CHILD({ OK(shm_mutex_lock(m)); });
    IS(SHM_STATUS_OWNER_DIED, shm_mutex_lock(m));
    OK(shm_mutex_unlock(m));
    IS(SHM_STATUS_POISONED, shm_mutex_lock(m));
    OK(shm_mutex_repair(m));
    OK(shm_mutex_recover(m));
    OK(shm_mutex_unlock(m));
    OK(shm_mutex_lock_timeout_ns(m, 0));
    OK(shm_mutex_unlock(m));
    OK(shm_mutex_detach(m));

    shm_array_t wrong = { m.id };
    IS(SHM_STATUS_INVALID_HANDLE, shm_mutex_lock(m));
    IS(SHM_STATUS_INVALID_HANDLE, shm_mutex_detach(m));
    IS(SHM_STATUS_INVALID_HANDLE, shm_array_info(wrong, &info));
    m.id = a.id;
    IS(SHM_STATUS_WRONG_KIND, shm_mutex_lock(m));
    m.id = 0;
    IS(SHM_STATUS_INVALID_HANDLE, shm_mutex_lock(m));
    m.id = ~(uint64_t)0;
    IS(SHM_STATUS_INVALID_HANDLE, shm_mutex_lock(m));
    OK(shm_array_detach(a));
    OK(shm_array_detach(b));
    IS(SHM_STATUS_INVALID_HANDLE, shm_array_detach(b));
    puts("smoke: all well");
    return 0;
}
