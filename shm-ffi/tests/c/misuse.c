/* Bad input: a status each, a text that says what is wrong, and nothing lost. */
#include "check.h"
#include <signal.h>

static const int64_t SHAPE[1] = { 8 };

static void nulls(void)
{
    shm_array_t array;
    shm_segment_t segment;
    shm_mutex_t mutex;
    shm_contents_t contents;
    const shm_dtype_t f64 = shm_dtype(SHM_TYPE_FLOAT, 64);
    const char *name = unique("nulls");
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_create(name, NULL, f64, SHAPE, 1, SHM_ORDER_C, NULL));
    SAYS("`array` is NULL");
    IS(SHM_STATUS_NOT_FOUND, shm_array_attach(name, NULL, &array)); /* nothing was created */
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_create(name, NULL, f64, NULL, 1, SHM_ORDER_C, &array));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_attach(NULL, NULL, &array));
    SAYS("`name` is NULL");
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_attach(name, NULL, NULL));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_segment_attach(NULL, NULL, &segment));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_segment_attach(name, NULL, NULL));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_mutex_create(NULL, NULL, 0, NULL));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_mutex_attach(NULL, 0, &mutex));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_mutex_create_or_attach(NULL, 0, &mutex));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_contents_create(NULL));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_delete(NULL));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_inspect(name, NULL));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_list(NULL, NULL, NULL));
    OK(shm_contents_create(&contents));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_contents_add_array(contents, NULL, f64, SHAPE, 1, SHM_ORDER_C));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_contents_add_bytes(contents, NULL, 1, 0));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_segment_create(NULL, NULL, contents, &segment)); /* it is empty */
    OK(shm_contents_free(contents));
    OK(shm_array_create(NULL, NULL, f64, SHAPE, 1, SHM_ORDER_C, &array));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_info(array, NULL));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_data(array, NULL));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_export(array, NULL));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_segment(array, NULL));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_exclusive(array, NULL));
    OK(shm_array_segment(array, &segment));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_attach_in(segment, NULL, &array));
    CHECK(array.id == 0);
    OK(shm_segment_detach(segment));
}

static void numbers(void)
{
    shm_array_t array;
    const shm_dtype_t f64 = shm_dtype(SHM_TYPE_FLOAT, 64);
    static const int64_t negative[2] = { 3, -4 }, huge[2] = { INT64_MAX, 2 }, large[1] = { (int64_t)1 << 60 };
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_create(NULL, NULL, f64, negative, 2, SHM_ORDER_C, &array));
    SAYS("`shape[1]` is -4");
    IS(SHM_STATUS_SIZE_OVERFLOW, shm_array_create(NULL, NULL, f64, huge, 2, SHM_ORDER_C, &array));
    IS(SHM_STATUS_SIZE_OVERFLOW, shm_array_create(NULL, NULL, f64, large, 1, SHM_ORDER_C, &array));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_create(NULL, NULL, f64, SHAPE, -1, SHM_ORDER_C, &array));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_create(NULL, NULL, f64, SHAPE, 65, SHM_ORDER_C, &array));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_create(NULL, NULL, f64, SHAPE, 1, 2, &array));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_create(NULL, NULL, shm_dtype(77, 64), SHAPE, 1, SHM_ORDER_C, &array));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_create(NULL, NULL, shm_dtype(SHM_TYPE_INT, 7), SHAPE, 1, SHM_ORDER_C, &array));
    shm_dtype_t wrong = f64;
    wrong.lanes = 4;
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_create(NULL, NULL, wrong, SHAPE, 1, SHM_ORDER_C, &array));
    wrong = f64;
    wrong.record_length = 3;
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_create(NULL, NULL, wrong, SHAPE, 1, SHM_ORDER_C, &array));
    shm_mutex_t mutex;
    OK(shm_mutex_create(NULL, NULL, 0, &mutex));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_mutex_lock_timeout_ns(mutex, -1));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_mutex_lock_until_ns(mutex, INT64_MIN));
    OK(shm_mutex_lock_timeout_ns(mutex, SHM_FOREVER));
    OK(shm_mutex_unlock(mutex));
    OK(shm_mutex_detach(mutex));

    /* A description that only an older header knows gets what that header knows, and not a byte more. */
    OK(shm_array_create(NULL, NULL, f64, SHAPE, 1, SHM_ORDER_C, &array));
    unsigned char bytes[sizeof(shm_array_info_t)];
    uint64_t size = 16;
    memset(bytes, 0xAA, sizeof bytes);
    memcpy(bytes, &size, sizeof size);
    OK(shm_array_info(array, (shm_array_info_t *)(void *)bytes));
    CHECK(bytes[16] == 0xAA && bytes[0] == 16);
    void *data, *found;
    OK(shm_array_data(array, &data));
    memcpy(&found, bytes + 8, sizeof found);
    CHECK(found == data);
    size = 7;
    memcpy(bytes, &size, sizeof size);
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_info(array, (shm_array_info_t *)(void *)bytes));
    OK(shm_array_detach(array));
}

static void names(void)
{
    shm_array_t array;
    static const char *const wrong[] = { "", "shm://a/b", "http://x", "shm://", "file://", "file:///tmp/", "shm://.." };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        IS(SHM_STATUS_INVALID_NAME, shm_array_attach(wrong[i], NULL, &array));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_attach("shm://\xff\xfe", NULL, &array));
    SAYS("UTF-8");
    IS(SHM_STATUS_NOT_FOUND, shm_array_attach("file:///no/such/\xff", NULL, &array));
    IS(SHM_STATUS_NOT_A_SEGMENT, shm_array_attach("file:///dev/null", NULL, &array));
    char *long_name = malloc(1 << 20);
    CHECK(long_name != NULL);
    memset(long_name, 'x', (1 << 20) - 1);
    long_name[(1 << 20) - 1] = 0;
    IS(SHM_STATUS_INVALID_NAME, shm_array_attach(long_name, NULL, &array));
    free(long_name);
}

static void handles(void)
{
    shm_array_t array;
    shm_array_info_t info = SHM_ARRAY_INFO_INIT;
    OK(shm_array_create(NULL, NULL, shm_dtype(SHM_TYPE_INT, 8), SHAPE, 1, SHM_ORDER_C, &array));
    for (int bit = 0; bit < 64; bit++) {
        shm_array_t forged = { array.id ^ (uint64_t)1 << bit };
        shm_status_t status = shm_array_info(forged, &info);
        CHECK(status == SHM_STATUS_INVALID_HANDLE || status == SHM_STATUS_WRONG_KIND);
        status = shm_array_detach(forged);
        CHECK(status == SHM_STATUS_INVALID_HANDLE || status == SHM_STATUS_WRONG_KIND);
    }
    shm_segment_t segment = { array.id };
    IS(SHM_STATUS_WRONG_KIND, shm_segment_detach(segment));
    shm_mutex_t mutex = { array.id };
    IS(SHM_STATUS_WRONG_KIND, shm_mutex_unlock(mutex));
    OK(shm_array_info(array, &info)); /* nothing was lost */
    /* A slot that is used again makes no old handle good. */
    OK(shm_array_detach(array));
    shm_array_t other;
    for (int i = 0; i < 100; i++) {
        OK(shm_array_create(NULL, NULL, shm_dtype(SHM_TYPE_INT, 8), SHAPE, 1, SHM_ORDER_C, &other));
        CHECK(other.id != array.id);
        IS(SHM_STATUS_INVALID_HANDLE, shm_array_info(array, &info));
        OK(shm_array_detach(other));
    }
    CHECK(strcmp(shm_status_name(SHM_STATUS_NOT_FOUND), "SHM_STATUS_NOT_FOUND") == 0);
    CHECK(strcmp(shm_status_name(-12345), "SHM_STATUS_?") == 0);
}

/* What a forked child may do with what it inherited, and that nothing of the parent's is lost by it. */
static void children(void)
{
    const char *name = unique("children");
    shm_options_t mortal = SHM_OPTIONS_INIT;
    mortal.lifetime = SHM_LIFETIME_LAST_DETACH;
    shm_array_t array;
    shm_mutex_t mutex;
    OK(shm_array_create(name, &mortal, shm_dtype(SHM_TYPE_INT, 32), SHAPE, 1, SHM_ORDER_C, &array));
    OK(shm_mutex_create(NULL, NULL, 0, &mutex));
    OK(shm_mutex_lock(mutex));
    void *data;
    OK(shm_array_data(array, &data));
    IN_CHILD({
        ((int32_t *)data)[0] = 9;
        OK(shm_array_detach(array));
        IS(SHM_STATUS_INVALID_HANDLE, shm_array_detach(array));
        OK(shm_array_attach(name, NULL, &array));
        OK(shm_array_detach(array));
        IS(SHM_STATUS_BUSY, shm_mutex_try_lock(mutex));
        IS(SHM_STATUS_INHERITED, shm_mutex_recover(mutex));
        IS(SHM_STATUS_INHERITED, shm_mutex_unlock(mutex));
        OK(shm_mutex_detach(mutex));
    });
    CHECK(((int32_t *)data)[0] == 9);
    IN_CHILD({ OK(shm_mutex_detach(mutex)); }); /* with the parent's lock in it */
    OK(shm_mutex_unlock(mutex)); /* it was ours all the time */
    OK(shm_array_data(array, &data));
    OK(shm_array_detach(array));
    IS(SHM_STATUS_NOT_FOUND, shm_array_attach(name, NULL, &array));

    /* A child killed with the lock: news, and to one only. */
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        OK(shm_mutex_lock(mutex));
        raise(SIGKILL);
    }
    int how;
    CHECK(waitpid(child, &how, 0) == child && WIFSIGNALED(how));
    IS(SHM_STATUS_OWNER_DIED, shm_mutex_try_lock(mutex));
    OK(shm_mutex_recover(mutex));
    OK(shm_mutex_unlock(mutex));
    OK(shm_mutex_lock(mutex));
    OK(shm_mutex_unlock(mutex));
    OK(shm_mutex_detach(mutex));
}

static int32_t nothing(void *user, uint64_t item)
{
    (void)user, (void)item;
    return 0;
}

/* Handles of things without locks: a child may use what it inherited, except for what is its parent's alone, and gives back no more than its own. */
static void inherited(void)
{
    const char *name = unique("inherited");
    shm_options_t grows = SHM_OPTIONS_INIT;
    grows.reserve_max = 1 << 20;
    grows.lifetime = SHM_LIFETIME_LAST_DETACH;
    shm_array_t array, found;
    shm_segment_t segment;
    shm_contents_t plan;
    shm_list_t list;
    shm_exclusive_t lease;
    shm_pool_t pool;
    shm_pool_options_t serial = SHM_POOL_OPTIONS_INIT;
    shm_array_info_t info = SHM_ARRAY_INFO_INIT;
    shm_segment_info_t segment_info = SHM_SEGMENT_INFO_INIT;
    uint64_t count;
    serial.flags = SHM_POOL_SERIAL;
    OK(shm_array_create(name, &grows, shm_dtype(SHM_TYPE_INT, 32), SHAPE, 1, SHM_ORDER_C, &array));
    OK(shm_array_segment(array, &segment));
    OK(shm_contents_create(&plan));
    OK(shm_contents_add_bytes(plan, "bytes", 8, 0));
    OK(shm_list(getenv("SHM_TEST_FOLDER"), &list, &count));
    OK(shm_pool_create(&serial, &pool));
    IN_CHILD({
        int descriptor;
        shm_segment_t made;
        OK(shm_array_grow(array, 1000));
        OK(shm_array_info(array, &info));
        CHECK(info.shape[0] >= 1000);
        OK(shm_segment_sync(segment, SHM_SYNC_WAIT));
        OK(shm_segment_info(segment, &segment_info));
        OK(shm_array_export(array, &descriptor));
        CHECK(close(descriptor) == 0);
        OK(shm_contents_add_bytes(plan, "more", 8, 0));
        OK(shm_segment_create(NULL, NULL, plan, &made));
        OK(shm_pool_for(pool, 0, 5, nothing, NULL));
        OK(shm_pool_free(pool));
        OK(shm_list_free(list));
        OK(shm_contents_free(plan));
        OK(shm_segment_detach(segment));
        OK(shm_array_detach(array));
        IS(SHM_STATUS_INVALID_HANDLE, shm_segment_info(segment, &segment_info));
    });
    OK(shm_array_info(array, &info));
    CHECK(info.shape[0] >= 1000); /* the child's growth, and the array is there still */
    OK(shm_contents_add_bytes(plan, "more", 8, 0)); /* the plan is a copy */
    OK(shm_pool_for(pool, 0, 5, nothing, NULL));
    OK(shm_list_free(list));
    OK(shm_pool_free(pool));
    OK(shm_contents_free(plan));
    OK(shm_segment_detach(segment));

    OK(shm_array_exclusive(array, &lease));
    IN_CHILD({
        shm_exclusive_t second;
        IS(SHM_STATUS_INHERITED, shm_array_exclusive(array, &second));
        IS(SHM_STATUS_BUSY, shm_array_attach(name, NULL, &found));
        OK(shm_exclusive_free(lease)); /* its copy: the parent has the lease still */
        IS(SHM_STATUS_INVALID_HANDLE, shm_exclusive_free(lease));
    });
    IN_CHILD({ IS(SHM_STATUS_BUSY, shm_array_attach(name, NULL, &found)); });
    OK(shm_exclusive_free(lease));
    IN_CHILD({
        OK(shm_array_attach(name, NULL, &found));
        OK(shm_array_detach(found));
    });
    OK(shm_array_detach(array));
    IS(SHM_STATUS_NOT_FOUND, shm_array_attach(name, NULL, &found));
}

int main(void)
{
    inherited();
    nulls();
    numbers();
    names();
    handles();
    children();
    puts("misuse: all well");
    return 0;
}
