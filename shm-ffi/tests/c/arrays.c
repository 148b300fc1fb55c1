/* Everything that is done with arrays: types, orders, growth, descriptors, leases, files. */
#include "check.h"
#include <fcntl.h>
#include <sys/stat.h>

static const int64_t SHAPE[2] = { 3, 4 };

static void types_and_orders(void)
{
    static const struct {
        uint8_t code, bits;
        uint32_t count, unit;
        uint64_t size;
    } types[] = {
        { SHM_TYPE_INT, 8, 0, 0, 1 },      { SHM_TYPE_INT, 64, 0, 0, 8 },      { SHM_TYPE_UINT, 16, 0, 0, 2 },
        { SHM_TYPE_FLOAT, 16, 0, 0, 2 },   { SHM_TYPE_FLOAT, 32, 0, 0, 4 },    { SHM_TYPE_FLOAT, 64, 0, 0, 8 },
        { SHM_TYPE_BFLOAT, 16, 0, 0, 2 },  { SHM_TYPE_COMPLEX, 64, 0, 0, 8 },  { SHM_TYPE_COMPLEX, 128, 0, 0, 16 },
        { SHM_TYPE_BOOL, 8, 0, 0, 1 },     { SHM_TYPE_BYTES, 8, 5, 0, 5 },     { SHM_TYPE_TEXT, 32, 3, 0, 12 },
        { SHM_TYPE_DATETIME, 64, 1, 9, 8 }, { SHM_TYPE_TIMESPAN, 64, 25, 7, 8 }, { SHM_TYPE_OPAQUE, 8, 7, 0, 7 },
        { SHM_TYPE_X87, 128, 0, 0, 16 },   { SHM_TYPE_QUAD, 128, 0, 0, 16 },   { 170, 0, 0, 0, 32 },
        { SHM_TYPE_FLOAT + SHM_TYPE_BIG_ENDIAN, 32, 0, 0, 4 },
    };
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        shm_dtype_t dtype = shm_dtype(types[i].code, types[i].bits);
        dtype.count = types[i].count;
        dtype.unit = types[i].unit;
        for (shm_order_t order = SHM_ORDER_C; order <= SHM_ORDER_F; order++) {
            const char *name = unique("types");
            shm_array_t made, found;
            OK(shm_array_create(name, NULL, dtype, SHAPE, 2, order, &made));
            OK(shm_array_attach(name, NULL, &found));
            shm_array_info_t info = SHM_ARRAY_INFO_INIT;
            OK(shm_array_info(found, &info));
            int64_t size = (int64_t)types[i].size;
            CHECK(info.dtype.code == dtype.code && info.dtype.bits == dtype.bits && info.dtype.lanes == 1);
            CHECK(info.dtype.count == dtype.count && info.dtype.unit == dtype.unit && info.dtype.record == NULL);
            CHECK(info.item_size == types[i].size && info.length == 12 && info.ndim == 2);
            CHECK(info.strides[0] == (order == SHM_ORDER_C ? 4 * size : size));
            CHECK(info.strides[1] == (order == SHM_ORDER_C ? size : 3 * size));
            CHECK(!(info.flags & SHM_ARRAY_C_CONTIGUOUS) == (order != SHM_ORDER_C));
            CHECK(!(info.flags & SHM_ARRAY_F_CONTIGUOUS) == (order != SHM_ORDER_F));
            CHECK((info.flags & SHM_ARRAY_WRITABLE) && !(info.flags & SHM_ARRAY_GROWS));
            uint64_t length = 99;
            OK(shm_array_record(found, NULL, 0, &length));
            CHECK(length == 0);
            OK(shm_delete(name));
            OK(shm_array_detach(made));
            OK(shm_array_detach(found));
        }
    }
}

static void records(void)
{
    static const char description[] = "{16a;2:id@0=<u8;3:rgb@8=(3)<u1}";
    shm_dtype_t dtype = shm_dtype(SHM_TYPE_RECORD, 8);
    dtype.record = description;
    dtype.record_length = sizeof description - 1;
    int64_t shape[1] = { 5 };
    shm_array_t array;
    OK(shm_array_create(NULL, NULL, dtype, shape, 1, SHM_ORDER_C, &array));
    shm_array_info_t info = SHM_ARRAY_INFO_INIT;
    OK(shm_array_info(array, &info));
    CHECK(info.item_size == 16 && info.dtype.record_length == sizeof description - 1);
    char text[64];
    uint64_t length;
    IS(SHM_STATUS_LIMIT_EXCEEDED, shm_array_record(array, text, sizeof description - 1, &length));
    CHECK(length == sizeof description - 1);
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_record(array, NULL, 64, NULL));
    OK(shm_array_record(array, text, sizeof description, NULL));
    CHECK(strcmp(text, description) == 0);
    OK(shm_array_detach(array));
    dtype.record = "{nonsense}";
    dtype.record_length = 10;
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_create(NULL, NULL, dtype, shape, 1, SHM_ORDER_C, &array));
}

static void without_elements(void)
{
    shm_array_info_t info = SHM_ARRAY_INFO_INIT;
    shm_array_t array;
    OK(shm_array_create(NULL, NULL, shm_dtype(SHM_TYPE_INT, 32), NULL, 0, SHM_ORDER_C, &array));
    OK(shm_array_info(array, &info));
    CHECK(info.ndim == 0 && info.length == 1 && info.data != NULL);
    OK(shm_array_detach(array));
    int64_t shape[3] = { 2, 0, 5 };
    OK(shm_array_create(NULL, NULL, shm_dtype(SHM_TYPE_INT, 32), shape, 3, SHM_ORDER_F, &array));
    OK(shm_array_info(array, &info));
    CHECK(info.ndim == 3 && info.length == 0 && info.shape[2] == 5);
    OK(shm_array_detach(array));
}

static void growth(void)
{
    const char *name = unique("growth");
    shm_options_t options = SHM_OPTIONS_INIT;
    options.reserve_max = 1 << 20;
    int64_t shape[2] = { 1, 100 };
    shm_array_t array, other;
    int32_t created = -1;
    OK(shm_array_create_or_attach(name, &options, shm_dtype(SHM_TYPE_FLOAT, 64), shape, 2, SHM_ORDER_C, &array, &created));
    CHECK(created == 1);
    OK(shm_array_create_or_attach(name, &options, shm_dtype(SHM_TYPE_FLOAT, 64), shape, 2, SHM_ORDER_C, &other, &created));
    CHECK(created == 0);
    shm_array_info_t before = SHM_ARRAY_INFO_INIT, after = SHM_ARRAY_INFO_INIT;
    OK(shm_array_info(array, &before));
    CHECK(before.flags & SHM_ARRAY_GROWS);
    ((double *)before.data)[99] = 7.0;
    IN_CHILD({ OK(shm_array_grow(other, 50)); });
    OK(shm_array_info(array, &after));
    CHECK(after.data == before.data && after.generation != before.generation && after.shape[0] >= 50);
    CHECK(((double *)after.data)[99] == 7.0 && ((double *)after.data)[4999] == 0.0);
    shm_segment_t segment;
    OK(shm_array_segment(array, &segment));
    uint64_t generation;
    OK(shm_segment_generation(segment, &generation));
    CHECK(generation == after.generation);
    IS(SHM_STATUS_LIMIT_EXCEEDED, shm_array_grow(array, 1 << 20));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_grow(array, -1));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_segment_grow(segment, (uint64_t)-1));
    IS(SHM_STATUS_LIMIT_EXCEEDED, shm_segment_grow(segment, 2 << 20));
    OK(shm_segment_grow(segment, 1 << 20));
    OK(shm_array_info(other, &after));
    CHECK(after.shape[0] > 1000);
    OK(shm_segment_detach(segment));
    OK(shm_array_detach(array));
    OK(shm_array_detach(other));
    OK(shm_delete(name));
    OK(shm_array_create(NULL, NULL, shm_dtype(SHM_TYPE_INT, 8), shape, 2, SHM_ORDER_C, &array));
    IS(SHM_STATUS_LIMIT_EXCEEDED, shm_array_grow(array, 2));
    OK(shm_array_detach(array));
}

static void mismatches(void)
{
    const char *name = unique("mismatches");
    shm_array_t array, other;
    OK(shm_array_create(name, NULL, shm_dtype(SHM_TYPE_FLOAT, 64), SHAPE, 2, SHM_ORDER_C, &array));
    IS(SHM_STATUS_TYPE_MISMATCH,
       shm_array_create_or_attach(name, NULL, shm_dtype(SHM_TYPE_INT, 64), SHAPE, 2, SHM_ORDER_C, &other, NULL));
    IS(SHM_STATUS_SHAPE_MISMATCH,
       shm_array_create_or_attach(name, NULL, shm_dtype(SHM_TYPE_FLOAT, 64), SHAPE, 2, SHM_ORDER_F, &other, NULL));
    IS(SHM_STATUS_SHAPE_MISMATCH,
       shm_array_create_or_attach(name, NULL, shm_dtype(SHM_TYPE_FLOAT, 64), SHAPE, 1, SHM_ORDER_C, &other, NULL));
    CHECK(other.id == 0);
    OK(shm_delete(name));
    IS(SHM_STATUS_NOT_FOUND, shm_array_attach(name, NULL, &other));
    SAYS(name);
    OK(shm_array_detach(array));
}

static void descriptors(void)
{
    shm_array_t array, other;
    OK(shm_array_create(NULL, NULL, shm_dtype(SHM_TYPE_INT, 32), SHAPE, 2, SHM_ORDER_C, &array));
    int32_t descriptor = -1;
    OK(shm_array_export(array, &descriptor));
    CHECK(descriptor >= 0);
    void *data;
    OK(shm_array_data(array, &data));
    ((int32_t *)data)[11] = 42;
    OK(shm_array_detach(array));
    OK(shm_array_attach_descriptor(descriptor, NULL, &other)); /* the descriptor kept the memory */
    OK(shm_array_data(other, &data));
    CHECK(((int32_t *)data)[11] == 42);
    CHECK(close(descriptor) == 0); /* it stayed ours */
    OK(shm_array_detach(other));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_attach_descriptor(-1, NULL, &other));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_attach_descriptor(descriptor, NULL, &other));
    int null = open("/dev/null", O_RDWR);
    IS(SHM_STATUS_NOT_A_SEGMENT, shm_array_attach_descriptor(null, NULL, &other));
    close(null);
}

static void accesses(void)
{
    const char *name = unique("accesses");
    shm_array_t array, reader, copy;
    OK(shm_array_create(name, NULL, shm_dtype(SHM_TYPE_INT, 32), SHAPE, 2, SHM_ORDER_C, &array));
    shm_options_t options = SHM_OPTIONS_INIT;
    options.access = SHM_ACCESS_READ_ONLY;
    OK(shm_array_attach(name, &options, &reader));
    options.access = SHM_ACCESS_COPY_ON_WRITE;
    OK(shm_array_attach(name, &options, &copy));
    void *here, *there, *mine;
    OK(shm_array_data(array, &here));
    OK(shm_array_data(reader, &there));
    OK(shm_array_data(copy, &mine));
    ((int32_t *)here)[0] = 5;
    CHECK(((int32_t *)there)[0] == 5 && ((int32_t *)mine)[0] == 5);
    ((int32_t *)mine)[0] = 6;
    CHECK(((int32_t *)here)[0] == 5);
    shm_array_info_t info = SHM_ARRAY_INFO_INIT;
    OK(shm_array_info(reader, &info));
    CHECK(!(info.flags & SHM_ARRAY_WRITABLE));
    IS(SHM_STATUS_LIMIT_EXCEEDED, shm_array_grow(reader, 9));
    shm_exclusive_t exclusive;
    IS(SHM_STATUS_READ_ONLY, shm_array_exclusive(reader, &exclusive));
    OK(shm_array_detach(reader));
    OK(shm_array_detach(copy));

    OK(shm_array_exclusive(array, &exclusive));
    IS(SHM_STATUS_BUSY, shm_array_attach(name, NULL, &reader));
    IS(SHM_STATUS_BUSY, shm_array_export(array, &(int32_t){ 0 }));
    shm_segment_info_t segment = SHM_SEGMENT_INFO_INIT;
    OK(shm_inspect(name, &segment));
    CHECK((segment.flags & SHM_SEGMENT_LEASED) && segment.leased_by == (uint32_t)getpid());
    IN_CHILD({
        shm_exclusive_t again;
        IS(SHM_STATUS_INHERITED, shm_array_exclusive(array, &again));
        OK(shm_exclusive_free(exclusive)); /* forgets it, and the parent keeps it */
    });
    IS(SHM_STATUS_BUSY, shm_array_attach(name, NULL, &reader));
    OK(shm_exclusive_free(exclusive));
    IS(SHM_STATUS_INVALID_HANDLE, shm_exclusive_free(exclusive));
    OK(shm_array_attach(name, NULL, &reader));
    IS(SHM_STATUS_BUSY, shm_array_exclusive(array, &exclusive));
    OK(shm_array_detach(reader));
    OK(shm_array_detach(array));
    OK(shm_delete(name));
}

static void files(void)
{
    char path[4096];
    snprintf(path, sizeof path, "file://%s/array\xff", getenv("SHM_TEST_FOLDER")); /* a path may have any bytes */
    shm_array_t array;
    OK(shm_array_create(path, NULL, shm_dtype(SHM_TYPE_FLOAT, 32), SHAPE, 2, SHM_ORDER_C, &array));
    OK(shm_array_sync(array, SHM_SYNC_START));
    OK(shm_array_sync(array, SHM_SYNC_WAIT));
    OK(shm_array_sync(array, SHM_SYNC_INVALIDATE));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_array_sync(array, 77));
    struct stat file;
    CHECK(stat(path + strlen("file://"), &file) == 0 && file.st_size > 48);
    shm_segment_info_t info = SHM_SEGMENT_INFO_INIT;
    OK(shm_inspect(path, &info));
    CHECK(strcmp(info.name, path) == 0);
    shm_list_t list;
    uint64_t count = 0;
    OK(shm_list(getenv("SHM_TEST_FOLDER"), &list, &count));
    CHECK(count == 1);
    OK(shm_list_segment(list, 0, &info));
    CHECK(strcmp(info.name, path) == 0);
    OK(shm_list_free(list));
    OK(shm_array_detach(array));
    OK(shm_delete(path));
}

int main(void)
{
    types_and_orders();
    records();
    without_elements();
    growth();
    mismatches();
    descriptors();
    accesses();
    files();
    puts("arrays: all well");
    return 0;
}
