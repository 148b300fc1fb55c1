/* Structs that can grow: a caller that was compiled with an older header has shorter ones, one with a newer header longer ones. */
#include "check.h"

/* Asks for a description in structs of all sizes, with a guard behind them. `CALL` is called with the address of the struct. */
#define DESCRIBES(type, INIT, CALL)                                                                                    \
    do {                                                                                                               \
        type whole = INIT;                                                                                             \
        unsigned char bytes[sizeof(type) + 256];                                                                       \
        uint64_t size;                                                                                                 \
        OK(CALL(&whole));                                                                                              \
        CHECK(whole.size == sizeof(type));                                                                             \
        for (size = 8; size <= sizeof(type) + 128; size += size < sizeof(type) && size > 400 ? 40 : 8) {               \
            const size_t known = size < sizeof(type) ? (size_t)size : sizeof(type);                                    \
            memset(bytes, 0xAA, sizeof bytes);                                                                         \
            memcpy(bytes, &size, sizeof size);                                                                         \
            OK(CALL((type *)(void *)bytes));                                                                           \
            CHECK(memcmp(bytes, &size, sizeof size) == 0);                                                             \
            CHECK(memcmp(bytes + 8, (unsigned char *)&whole + 8, known - 8) == 0); /* what the caller knows */         \
            for (size_t i = known; i < size; i++)                                                                      \
                CHECK(bytes[i] == 0); /* what the library does not know */                                             \
            for (size_t i = (size_t)size; i < sizeof bytes; i++)                                                       \
                CHECK(bytes[i] == 0xAA); /* what is not the struct's */                                                \
        }                                                                                                              \
        static const uint64_t wrong[] = { 0, 1, 7, (1 << 16) + 8, UINT64_MAX };                                        \
        for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {                                                  \
            memset(bytes, 0xAA, sizeof bytes);                                                                         \
            memcpy(bytes, &wrong[i], sizeof wrong[i]);                                                                 \
            IS(SHM_STATUS_INVALID_ARGUMENT, CALL((type *)(void *)bytes));                                              \
            SAYS("INIT");                                                                                              \
            for (size_t j = 8; j < sizeof bytes; j++)                                                                  \
                CHECK(bytes[j] == 0xAA);                                                                               \
        }                                                                                                              \
    } while (0)

static shm_array_t array;
static shm_segment_t segment;
static shm_list_t list;
static const char *name;

#define ARRAY_INFO(place) shm_array_info(array, place)
#define SEGMENT_INFO(place) shm_segment_info(segment, place)
#define INSPECT(place) shm_inspect(name, place)
#define LISTED(place) shm_list_segment(list, 0, place)
#define ENTRY(place) shm_segment_entry(segment, "", place)
#define ENTRY_AT(place) shm_segment_entry_at(segment, 0, place)
#define FAILURE(place) shm_pool_failure(0, place, NULL)

static int32_t fail(void *unused, uint64_t item)
{
    (void)unused;
    return item == 3 ? 5 : 0;
}

/* Options go in: shorter ones mean zeros behind them, longer ones may not ask for what this library does not know. */
static void options(void)
{
    static const int64_t shape[1] = { 8 };
    const shm_dtype_t i8 = shm_dtype(SHM_TYPE_INT, 8);
    unsigned char bytes[sizeof(shm_options_t) + 64];
    shm_options_t given = SHM_OPTIONS_INIT;
    shm_segment_info_t info = SHM_SEGMENT_INFO_INIT;
    shm_array_t made;
    uint64_t size;
    given.mode = 0640;
    for (size = sizeof given; size <= sizeof bytes; size += 8) {
        memset(bytes, 0, sizeof bytes);
        memcpy(bytes, &given, sizeof given);
        memcpy(bytes, &size, sizeof size);
        OK(shm_array_create(unique("options"), (shm_options_t *)(void *)bytes, i8, shape, 1, SHM_ORDER_C, &made));
        OK(shm_inspect(unique("options"), &info));
        CHECK(info.mode == 0640);
        OK(shm_array_detach(made));
        OK(shm_delete(unique("options")));
        for (size_t i = sizeof given; i < size; i++) { /* something that is asked for */
            bytes[i] = 1;
            IS(SHM_STATUS_INVALID_ARGUMENT,
               shm_array_create(unique("options"), (shm_options_t *)(void *)bytes, i8, shape, 1, SHM_ORDER_C, &made));
            SAYS("does not have");
            IS(SHM_STATUS_NOT_FOUND, shm_inspect(unique("options"), &info));
            bytes[i] = 0;
        }
    }
    static const uint64_t wrong[] = { 0, 8, 39, (1 << 16) + 8, UINT64_MAX };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        memcpy(bytes, &wrong[i], sizeof wrong[i]);
        IS(SHM_STATUS_INVALID_ARGUMENT,
           shm_array_create(unique("options"), (shm_options_t *)(void *)bytes, i8, shape, 1, SHM_ORDER_C, &made));
        CHECK(made.id == 0);
    }
}

int main(void)
{
    static const int64_t shape[3] = { 2, 3, 4 };
    shm_options_t in_folder = SHM_OPTIONS_INIT;
    shm_array_t filed;
    uint64_t count;
    char path[512];
    const char *folder = getenv("SHM_TEST_FOLDER");
    name = unique("sizes");
    OK(shm_array_create(name, NULL, shm_dtype(SHM_TYPE_FLOAT, 64), shape, 3, SHM_ORDER_C, &array));
    OK(shm_array_segment(array, &segment));
    DESCRIBES(shm_array_info_t, SHM_ARRAY_INFO_INIT, ARRAY_INFO);
    DESCRIBES(shm_segment_info_t, SHM_SEGMENT_INFO_INIT, SEGMENT_INFO);
    DESCRIBES(shm_segment_info_t, SHM_SEGMENT_INFO_INIT, INSPECT);
    DESCRIBES(shm_entry_info_t, SHM_ENTRY_INFO_INIT, ENTRY);
    DESCRIBES(shm_entry_info_t, SHM_ENTRY_INFO_INIT, ENTRY_AT);
    snprintf(path, sizeof path, "file://%s/sizes", folder);
    OK(shm_array_create(path, &in_folder, shm_dtype(SHM_TYPE_FLOAT, 64), shape, 3, SHM_ORDER_C, &filed));
    OK(shm_list(folder, &list, &count));
    CHECK(count == 1);
    DESCRIBES(shm_segment_info_t, SHM_SEGMENT_INFO_INIT, LISTED);
    OK(shm_list_free(list));
    OK(shm_array_detach(filed));
    OK(shm_delete(path));
    OK(shm_segment_detach(segment));
    OK(shm_array_detach(array));
    OK(shm_delete(name));

    shm_pool_options_t serial = SHM_POOL_OPTIONS_INIT;
    shm_pool_t pool;
    serial.flags = SHM_POOL_SERIAL;
    OK(shm_pool_create(&serial, &pool));
    IS(SHM_STATUS_CALLBACK_FAILED, shm_pool_for(pool, 0, 5, fail, NULL));
    DESCRIBES(shm_pool_failure_t, SHM_POOL_FAILURE_INIT, FAILURE);
    OK(shm_pool_free(pool));
    options();
    puts("sizes: all well");
    return 0;
}
