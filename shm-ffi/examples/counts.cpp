// A table of counts that any number of runs share: each adds to it, the last one prints and removes it.
//
//     counts NAME add WORD...    counts the words
//     counts NAME show           prints the counts and removes the table
//
// Shows an array and a mutex found by name, whoever comes first; what the death of another run means; and errors as exceptions.

#include <shm.hpp>

#include <cstdio>
#include <cstring>
#include <mutex>
#include <string>

namespace {

constexpr std::int64_t letters = 26;

/// The row of a word: its first letter, or none.
std::int64_t row(const char *word)
{
    const char *alphabet = "abcdefghijklmnopqrstuvwxyz";
    const char *found = word[0] != '\0' ? std::strchr(alphabet, word[0] | 0x20) : nullptr;
    return found != nullptr ? found - alphabet : -1;
}

int run(int argc, char **argv)
{
    const std::string name = argv[1], command = argv[2];
    auto [counts, created] = shm::array<std::uint64_t>::create_or_attach(name, {letters});
    shm::mutex lock = shm::mutex::create_or_attach(name + ".lock");
    // Each count is whole after every single addition: after another run's death there is nothing to mend.
    shm::mending_guard guard(lock, [] {});
    if (command == "add") {
        for (int i = 3; i < argc; i++)
            if (const std::int64_t letter = row(argv[i]); letter >= 0)
                counts(letter)++;
        std::printf("%s %s\n", created ? "created" : "found", name.c_str());
        return 0;
    }
    for (std::int64_t letter = 0; letter < letters; letter++)
        if (counts(letter) != 0)
            std::printf("%c %llu\n", static_cast<char>('a' + letter), static_cast<unsigned long long>(counts(letter)));
    shm::remove(name + ".lock");
    shm::remove(name);
    return 0;
}

}  // namespace

int main(int argc, char **argv)
{
    if (argc < 3 || (std::strcmp(argv[2], "add") != 0 && std::strcmp(argv[2], "show") != 0)) {
        std::fprintf(stderr, "usage: counts NAME add WORD... | counts NAME show\n");
        return 2;
    }
    try {
        return run(argc, argv);
    } catch (const shm::error &error) {
        std::fprintf(stderr, "counts: %s (%s)\n", error.what(), error.status_name());
        return 1;
    }
}
