/* Everything that is done with segments: several things in one, options, looking from outside, lifetimes, memory. */
#include "check.h"

static const int64_t SHAPE[1] = { 100 };

static shm_contents_t plan(void)
{
    shm_contents_t contents;
    OK(shm_contents_create(&contents));
    OK(shm_contents_add_mutex(contents, "lock", 0));
    OK(shm_contents_add_bytes(contents, "notes", 80, 0));
    OK(shm_contents_add_array(contents, "grid", shm_dtype(SHM_TYPE_FLOAT, 64), SHAPE, 1, SHM_ORDER_C));
    return contents;
}

static void several_things(void)
{
    const char *name = unique("several");
    shm_contents_t contents = plan();
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_contents_add_bytes(contents, "notes", 80, 0)); /* twice */
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_contents_add_bytes(contents, "odd", 80, 3));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_contents_add_bytes(contents, "huge", (uint64_t)-1, 0));
    shm_segment_t segment, other;
    OK(shm_segment_create(name, NULL, contents, &segment));
    int32_t created = -1;
    OK(shm_segment_create_or_attach(name, NULL, contents, &other, &created));
    CHECK(created == 0);
    OK(shm_contents_free(contents));
    IS(SHM_STATUS_INVALID_HANDLE, shm_segment_create(NULL, NULL, contents, &other));
    CHECK(other.id == 0);
    OK(shm_segment_attach(name, NULL, &other));

    shm_entry_info_t entry = SHM_ENTRY_INFO_INIT;
    OK(shm_segment_entry(segment, "notes", &entry));
    CHECK(entry.kind == SHM_ENTRY_KIND_BYTES && entry.length == 80 && entry.alignment == 64 && entry.data != NULL);
    memset(entry.data, 7, 80);
    OK(shm_segment_entry_at(segment, 0, &entry));
    CHECK(entry.kind == SHM_ENTRY_KIND_PRIMITIVE && entry.primitive == 1 && strcmp(entry.name, "lock") == 0);
    OK(shm_segment_entry_at(segment, 2, &entry));
    CHECK(entry.kind == SHM_ENTRY_KIND_ARRAY && entry.length == 800 && entry.grows == 0);
    IS(SHM_STATUS_NO_SUCH_ENTRY, shm_segment_entry_at(segment, 3, &entry));
    IS(SHM_STATUS_NO_SUCH_ENTRY, shm_segment_entry(segment, "nothing", &entry));
    SAYS("\"grid\"");

    shm_array_t grid;
    OK(shm_array_attach_in(segment, "grid", &grid));
    IS(SHM_STATUS_NO_SUCH_ENTRY, shm_array_attach_in(segment, "notes", &grid));
    OK(shm_array_attach_in(other, "grid", &grid));
    shm_mutex_t lock;
    IS(SHM_STATUS_MISMATCH, shm_mutex_attach_in(segment, "notes", 0, &lock));
    OK(shm_mutex_attach_in(segment, "lock", 0, &lock));
    OK(shm_mutex_lock(lock));
    OK(shm_array_detach(grid));
    OK(shm_mutex_unlock(lock));
    OK(shm_mutex_detach(lock));
    OK(shm_segment_detach(other));
    IS(SHM_STATUS_INVALID_HANDLE, shm_segment_detach(other));
    OK(shm_segment_detach(segment));
    OK(shm_delete(name));
}

/* A segment goes on being mapped while a lock in it is held. */
static void held_locks(void)
{
    shm_contents_t contents = plan();
    shm_segment_t segment;
    OK(shm_segment_create(NULL, NULL, contents, &segment));
    OK(shm_contents_free(contents));
    shm_mutex_t lock;
    OK(shm_mutex_attach_in(segment, "lock", 0, &lock));
    OK(shm_segment_detach(segment));
    OK(shm_mutex_lock(lock));
    IS(SHM_STATUS_LOCK_HELD, shm_mutex_detach(lock));
    OK(shm_mutex_unlock(lock));
    OK(shm_mutex_detach(lock));
}

static void options(void)
{
    const char *name = unique("options");
    shm_contents_t contents = plan();
    shm_segment_t segment;
    shm_options_t options = SHM_OPTIONS_INIT;
    options.mode = 0640;
    options.lifetime = SHM_LIFETIME_SCOPED;
    options.alignment = 1 << 16;
    options.reserve_max = 1 << 20;
    options.flags = SHM_SPARSE | SHM_PREFAULT | SHM_HUGE_PAGES | SHM_ANY_OWNER;
    OK(shm_segment_create(name, &options, contents, &segment));
    shm_segment_info_t info = SHM_SEGMENT_INFO_INIT;
    OK(shm_segment_info(segment, &info));
    CHECK(info.mode == 0640 && info.lifetime == SHM_LIFETIME_SCOPED && info.capacity == 1 << 20);
    CHECK(info.kind == SHM_SEGMENT_KIND_ARRAY && info.entries == 3 && info.owner == (uint32_t)getuid());
    CHECK(info.creator == (uint32_t)getpid() && info.created_at > 0);
    CHECK(info.creator_liveness == SHM_LIVENESS_ALIVE);
    CHECK((info.flags & SHM_SEGMENT_ATTACHED) && (info.flags & SHM_SEGMENT_GROWS) && !(info.flags & SHM_SEGMENT_GUARANTEED));
    CHECK(strcmp(info.name, name) == 0 && strstr(info.remark, "sparse") != NULL);
    shm_entry_info_t entry = SHM_ENTRY_INFO_INIT;
    OK(shm_segment_entry_at(segment, 0, &entry));
    CHECK((uintptr_t)entry.data % (1 << 16) == 0);
    OK(shm_segment_prefault(segment));
    OK(shm_segment_advise(segment, SHM_ADVICE_SEQUENTIAL));
    OK(shm_segment_advise(segment, SHM_ADVICE_DONT_DUMP));
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_segment_advise(segment, 99));
    OK(shm_segment_lock_memory(segment));
    OK(shm_segment_unlock_memory(segment));
    OK(shm_segment_sync(segment, SHM_SYNC_WAIT));
    OK(shm_segment_detach(segment));
    IS(SHM_STATUS_NOT_FOUND, shm_segment_attach(name, NULL, &segment)); /* its scope is over */

    /* What an older header does not know is zero; what this library does not know is refused. */
    struct {
        shm_options_t known;
        uint64_t unknown;
    } newer = { SHM_OPTIONS_INIT, 0 };
    newer.known.size = sizeof newer;
    OK(shm_segment_create(NULL, &newer.known, contents, &segment));
    OK(shm_segment_detach(segment));
    newer.unknown = 1;
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_segment_create(NULL, &newer.known, contents, &segment));
    newer.known.size = 0;
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_segment_create(NULL, &newer.known, contents, &segment));
    newer.known.size = (uint64_t)-1;
    IS(SHM_STATUS_INVALID_ARGUMENT, shm_segment_create(NULL, &newer.known, contents, &segment));

    static const shm_options_t wrong[] = {
        { sizeof(shm_options_t), 01777, 0, 0, 0, 0, 0 }, { sizeof(shm_options_t), 0200, 0, 0, 0, 0, 0 },
        { sizeof(shm_options_t), 0, 3, 0, 0, 0, 0 },     { sizeof(shm_options_t), 0, -1, 0, 0, 0, 0 },
        { sizeof(shm_options_t), 0, 0, 3, 0, 0, 0 },     { sizeof(shm_options_t), 0, 0, 0, 32, 0, 0 },
        { sizeof(shm_options_t), 0, 0, 0, 0, 48, 0 },    { sizeof(shm_options_t), 0, 0, 0, 0, (uint64_t)-64, 0 },
        { sizeof(shm_options_t), 0, 0, 0, 0, 0, (uint64_t)-1 },
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        segment.id = 1;
        IS(SHM_STATUS_INVALID_ARGUMENT, shm_segment_create(NULL, &wrong[i], contents, &segment));
        CHECK(segment.id == 0);
    }
    OK(shm_contents_free(contents));
}

static void from_outside(void)
{
    const char *name = unique("outside");
    shm_contents_t contents = plan();
    shm_segment_t segment;
    OK(shm_segment_create(name, NULL, contents, &segment));
    OK(shm_contents_free(contents));
    shm_list_t list;
    uint64_t count = 0, found = 0;
    OK(shm_list(NULL, &list, &count));
    shm_segment_info_t info = SHM_SEGMENT_INFO_INIT;
    for (uint64_t i = 0; i < count; i++) {
        OK(shm_list_segment(list, i, &info));
        if (strcmp(info.name, name) != 0)
            continue;
        found++;
        shm_entry_info_t entry = SHM_ENTRY_INFO_INIT;
        OK(shm_list_entry(list, i, 1, &entry));
        CHECK(strcmp(entry.name, "notes") == 0 && entry.data == NULL);
        IS(SHM_STATUS_NO_SUCH_ENTRY, shm_list_entry(list, i, 3, &entry));
        shm_array_info_t array = SHM_ARRAY_INFO_INIT;
        OK(shm_list_array(list, i, &array));
        CHECK(array.shape[0] == 100 && array.data == NULL);
    }
    CHECK(found == 1);
    IS(SHM_STATUS_NOT_FOUND, shm_list_segment(list, count, &info));
    OK(shm_list_free(list));
    IS(SHM_STATUS_INVALID_HANDLE, shm_list_segment(list, 0, &info));
    IS(SHM_STATUS_SYSTEM, shm_list("/no/such/directory", &list, &count));

    OK(shm_delete(name));
    IS(SHM_STATUS_NOT_FOUND, shm_delete(name));
    IS(SHM_STATUS_NOT_FOUND, shm_inspect(name, &info));
    OK(shm_segment_detach(segment));

    /* A killed process's segment that was to live until the last attachment goes is dead, and its name is reaped. */
    name = unique("reaped");
    IN_CHILD({
        shm_options_t mortal = SHM_OPTIONS_INIT;
        shm_array_t array;
        mortal.lifetime = SHM_LIFETIME_LAST_DETACH;
        OK(shm_array_create(name, &mortal, shm_dtype(SHM_TYPE_INT, 8), SHAPE, 1, SHM_ORDER_C, &array));
    });
    uint64_t removed = 0;
    OK(shm_reap(NULL, &removed));
    char path[300];
    snprintf(path, sizeof path, "/dev/shm/%s", name + strlen("shm://"));
    CHECK(access(path, F_OK) != 0); /* by us, or by somebody else's list meanwhile */
    OK(shm_reap(NULL, NULL));
}

int main(void)
{
    several_things();
    held_locks();
    options();
    from_outside();
    puts("segments: all well");
    return 0;
}
