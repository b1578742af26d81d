#include "support.hpp"
#include "support/safetensors.hpp"
#include "support/sanitizer.hpp"

#include <cstdlib>

#include <sys/stat.h>
#include <unistd.h>

using namespace hostile;

namespace {

/// Root may read everything and has no limits, so root becomes somebody else.
const std::string k_as_user =
    ::geteuid() == 0 ? "exec setpriv --reuid=65534 --regid=65534 --clear-groups " : "exec ";

} // namespace

TEST_CASE("links that lead back or to themselves end the walk, not the program", "[hostile]") {
  const TempDir directory;
  fs::create_directories(directory / "zoo/a/b");
  fs::create_directory_symlink("../..", directory / "zoo/a/up");
  fs::create_directory_symlink(".", directory / "zoo/here");
  fs::copy(k_model + "/config.json", directory / "zoo/a/b/config.json");
  const ProcessResult walked = shell(directory.path(), "exec \"$MLA\" audit zoo -f json");
  CHECK(walked.exit_code == 0);
  CHECK(walked.out.find("\"models\": 1,") != std::string::npos);

  fs::create_symlink("config.json", directory / "config.json");
  check_refused(shell(directory.path(), "exec \"$MLA\" inspect config.json"), "symbolic links");
  fs::create_symlink("q.npy", directory / "q.npy");
  check_refused(shell(directory.path(), "exec \"$MLA\" check \"$MODEL\" q.npy"), "symbolic links");
}

TEST_CASE("a FIFO is refused wherever a file is expected, and nothing waits for its other end",
          "[hostile]") {
  const TempDir directory;
  fs::create_directory(directory / "model");
  for (const char* name : {"fifo", "q.npy", "model/config.json"}) {
    REQUIRE(::mkfifo((directory / name).c_str(), 0600) == 0);
  }
  for (const char* command :
       {"inspect fifo", "inspect model", "engines fifo", "audit model", "sample fifo -o out",
        "check fifo q.npy", "check \"$MODEL\" q.npy", "check \"$MODEL\" model/config.json",
        "audit \"$MODEL\" --snapshot fifo", "audit \"$MODEL\" --baseline fifo"}) {
    INFO(command);
    check_refused(shell(directory.path(), std::string("exec \"$MLA\" ") + command),
                  "is not a regular file");
  }
  check_refused(shell(directory.path(), "exec \"$MLA\" inspect \"$MODEL\" -o json:fifo"),
                "cannot be written");
  check_refused(shell(directory.path(), "exec \"$MLA\" audit \"$MODEL\" --snapshot fifo --bless"),
                "cannot be written");
  check_refused(shell(directory.path(), "exec \"$MLA\" sample \"$MODEL\" -o fifo"),
                "cannot be written");
}

TEST_CASE("a FIFO that somebody reads takes a report", "[hostile]") {
  const TempDir directory;
  REQUIRE(::mkfifo((directory / "fifo").c_str(), 0600) == 0);
  const ProcessResult result = shell(
      directory.path(), "cat fifo > copy & exec 3>fifo; \"$MLA\" inspect \"$MODEL\" -f json -o "
                        "json:fifo; code=$?; exec 3>&-; wait; exit $code");
  CHECK(result.exit_code == 0);
  CHECK(slurp(directory / "copy") == result.out);
}

TEST_CASE("devices are no inputs", "[hostile]") {
  const TempDir directory;
  fs::create_symlink("/dev/zero", directory / "zero.safetensors");
  fs::create_symlink("/dev/zero", directory / "zero.gguf");
  for (const char* command :
       {"inspect /dev/zero", "inspect /dev/null", "inspect zero.gguf",
        "check \"$MODEL\" zero.safetensors", "audit \"$MODEL\" --snapshot /dev/zero",
        "audit \"$MODEL\" --baseline /dev/null", "audit /dev/zero"}) {
    INFO(command);
    check_refused(shell(directory.path(), std::string("exec \"$MLA\" ") + command),
                  "is not a regular file");
  }
  const ProcessResult endless = shell(directory.path(), "exec \"$MLA\" inspect - < /dev/zero");
  check_refused(endless, "more than 8388608 bytes");
}

TEST_CASE("files that may not be read are named with the system's reason", "[hostile]") {
  const TempDir directory;
  fs::permissions(directory.path(), fs::perms::all);
  fs::create_directories(directory / "zoo/closed");
  fs::copy(k_model, directory / "zoo/open");
  fs::copy(k_model + "/config.json", directory / "secret.json");
  write(directory / "q.npy", "x");
  if (shell(directory.path(), k_as_user + "\"$MLA\" --version").exit_code != 0) {
    WARN("not tested: the binary cannot be run as another user here");
    return;
  }
  for (const char* name : {"zoo/closed", "secret.json", "q.npy"}) {
    fs::permissions(directory / name, fs::perms::none);
  }
  for (const char* command :
       {"inspect secret.json", "check zoo/open q.npy", "audit zoo/open --snapshot secret.json",
        "audit zoo/open --baseline secret.json"}) {
    INFO(command);
    check_refused(shell(directory.path(), k_as_user + "\"$MLA\" " + command), "Permission denied");
  }
  // One directory of a zoo that is closed does not hide the others.
  const ProcessResult zoo = shell(directory.path(), k_as_user + "\"$MLA\" audit zoo -f json");
  check_refused(zoo, "zoo/closed: Permission denied");
  CHECK(zoo.out.find("\"models\": 1,") != std::string::npos);
  fs::permissions(directory / "zoo/closed", fs::perms::all);
}

TEST_CASE("a system that gives no more threads gets the work done by those there are",
          "[hostile]") {
  const TempDir directory;
  fs::permissions(directory.path(), fs::perms::all);
  fs::create_directory(directory / "zoo");
  for (const char* name : {"a", "b", "c"}) {
    fs::copy(k_model, directory / "zoo" / name);
  }
  const std::string alone = k_as_user + "prlimit --nproc=1 ";
  if (shell(directory.path(), alone + "\"$MLA\" --version").exit_code != 0) {
    WARN("not tested: no process can be limited here");
    return;
  }
  const ProcessResult many = shell(directory.path(), alone + "\"$MLA\" audit zoo --threads 3");
  CHECK(many.err.empty());
  CHECK(many.exit_code == 0);
}

TEST_CASE("a tree without end is left, and a path too long for the system is an error",
          "[hostile]") {
  const TempDir directory;
  const std::string made =
      "i=0; while [ $i -lt 200 ]; do mkdir d && cd -P d || exit 9; i=$((i+1)); done; ";
  const ProcessResult deep = shell(directory.path(), made + "cp \"$MODEL\"/config.json .");
  REQUIRE(deep.exit_code == 0);
  check_refused(shell(directory.path(), "exec \"$MLA\" audit d"), "no config.json");

  const std::string name(250, 'n');
  REQUIRE(shell(directory.path(), "i=0; while [ $i -lt 40 ]; do mkdir " + name + " && cd -P " + name
                                      + " || exit 9; i=$((i+1)); done")
              .exit_code
          == 0);
  check_refused(shell(directory.path(), "exec \"$MLA\" audit " + name), "name too long");
}

TEST_CASE("a hundred thousand files beside a config are passed over", "[hostile]") {
  const TempDir directory;
  fs::copy(k_model + "/config.json", directory / "config.json");
  write(directory / "empty", "");
  for (int i = 0; i < 100000; ++i) {
    // Links to one empty file: a directory with as many names, made in half the time.
    const std::string name = "f" + std::to_string(i) + (i % 2 == 0 ? ".json" : ".safetensors.tmp");
    if (i % 30000 == 0) {
      write(directory / "empty", "");
    }
    REQUIRE(::symlink("empty", (directory / name).c_str()) == 0);
  }
  const ProcessResult result = shell(directory.path(), "exec \"$MLA\" audit . -f json");
  CHECK(result.exit_code == 0);
  CHECK(result.out.find("\"models\": 1,") != std::string::npos);
}

TEST_CASE("a capture cut short or changed while it is read is refused", "[hostile]") {
  // 8 heads of many rows, zeros that take no disk: some seconds of work.
  const TempDir directory;
  const std::size_t rows = k_sanitized ? 1024 : 4096;
  std::string header;
  std::size_t end = 0;
  for (const auto& [name, width] : {std::pair("q", 192), {"k", 192}, {"v", 128}, {"out", 128}}) {
    const std::size_t begin = end;
    end += rows * 8 * static_cast<std::size_t>(width) * 2;
    header += std::string(header.empty() ? "{" : ",") + '"' + name
              + R"(":{"dtype":"BF16","shape":[)" + std::to_string(rows) + ",8,"
              + std::to_string(width) + "],\"data_offsets\":[" + std::to_string(begin) + ","
              + std::to_string(end) + "]}";
  }
  header += "}";
  const std::string length = {static_cast<char>(header.size() & 0xFF),
                              static_cast<char>(header.size() >> 8),
                              0,
                              0,
                              0,
                              0,
                              0,
                              0};
  const std::size_t size = 8 + header.size() + end;
  const fs::path capture = directory / "capture.safetensors";
  for (const char* change : {"truncate -s 100000", "touch -d 2001-01-01"}) {
    write(capture, length + header);
    fs::resize_file(capture, size);
    const ProcessResult result = shell(
        directory.path(),
        std::string(
            "\"$MLA\" check \"$MODEL\" capture.safetensors --rows all --threads 1 --no-diagnose & "
            "pid=$!; until grep -qs capture.safetensors /proc/$pid/maps || ! kill -0 $pid; "
            "do :; done; sleep 0.05; ")
            + change + " capture.safetensors; wait $pid");
    INFO(change << ": " << result.err);
    CHECK(result.exit_code == 3);
    CHECK(line_count(result.err) == 1);
    CHECK(result.out.empty());
    CHECK((result.err.find("became shorter while it was read") != std::string::npos
           || result.err.find("changed while it was read") != std::string::npos));
  }
}

TEST_CASE("files of gigabytes are refused by their size or never read", "[hostile]") {
  const TempDir directory;
  constexpr std::uintmax_t k_size = (std::uintmax_t{1} << 31U) + 4096; // more than 32 bits count
  for (const char* name : {"config.json", "snapshot", "baseline"}) {
    write(directory / name, "{");
    fs::resize_file(directory / name, k_size);
  }
  check_refused(shell(directory.path(), "exec \"$MLA\" inspect config.json"), "2147487744 bytes");
  check_refused(shell(directory.path(), "exec \"$MLA\" audit \"$MODEL\" --snapshot snapshot"),
                "2147487744 bytes");
  check_refused(shell(directory.path(), "exec \"$MLA\" audit \"$MODEL\" --baseline baseline"),
                "2147487744 bytes");
  // A tensor that nobody asked for costs nothing, whatever its size.
  const std::string dict = "{'descr': '|u1', 'fortran_order': False, 'shape': (2147483648,), }";
  std::string npy = std::string("\x93NUMPY\x01\0\0\0", 10) + dict;
  npy[8] = static_cast<char>(dict.size());
  write(directory / "blob.npy", npy);
  fs::resize_file(directory / "blob.npy", npy.size() + (std::uintmax_t{1} << 31U));
  const ProcessResult result = shell(directory.path(), "exec \"$MLA\" check \"$MODEL\" blob.npy");
  CHECK(result.exit_code == 4);
  CHECK(result.out.find("blob") != std::string::npos);
}

TEST_CASE("long and many arguments are refused or read like any other", "[hostile]") {
  const TempDir directory;
  const std::string word(100000, 'a');
  const ProcessResult path = run_process(BINARY, {"inspect", word}, directory.path().string());
  CHECK(path.exit_code == 3);
  CHECK(line_count(path.err) == 1);
  CHECK(run_process(BINARY, {word}, directory.path().string()).exit_code == 2);
  CHECK(run_process(BINARY, {"inspect", "-f", word, k_model}, directory.path().string()).exit_code
        == 2);
  CHECK(run_process(BINARY, {"check", k_model, "--rows", word, "x.npy"}, directory.path().string())
            .exit_code
        == 2);
  const std::vector<std::string> once = {"inspect", k_model};
  std::vector<std::string> often = once;
  often.resize(2000, k_model);
  CHECK(run_process(BINARY, often, directory.path().string()).exit_code == 0);
}

TEST_CASE("numbers beyond every size are wrong usage", "[hostile]") {
  const TempDir directory;
  for (const char* command :
       {"sample \"$MODEL\" -o s --seq-len 9223372036854775807",
        "sample \"$MODEL\" -o s --seq-len 99999999999999999999",
        "sample \"$MODEL\" -o s --prefix-len 9223372036854775807",
        "sample \"$MODEL\" -o s --heads 9223372036854775807", "sample \"$MODEL\" -o s --seq-len -1",
        "sample \"$MODEL\" -o s --seed 18446744073709551616",
        "check \"$MODEL\" q.npy --threads 4000000000", "check \"$MODEL\" q.npy --scale 1e999",
        "check \"$MODEL\" q.npy --scale nan", "audit \"$MODEL\" --threads -1",
        "audit \"$MODEL\" --threads 99999999999999999999"}) {
    INFO(command);
    const ProcessResult result = shell(directory.path(), std::string("exec \"$MLA\" ") + command);
    CHECK(result.exit_code == 2);
    CHECK(result.out.empty());
  }
  CHECK(fs::is_empty(directory.path()));
}

TEST_CASE("a sample is not written under the name of another format", "[hostile]") {
  const TempDir directory;
  for (const char* file : {"x.npz", "x.pt", "x.npy", "x.PTH"}) {
    INFO(file);
    const ProcessResult result = shell(
        directory.path(), std::string("exec \"$MLA\" sample \"$MODEL\" --heads 1 -o ") + file);
    CHECK(result.exit_code == 2);
    CHECK(result.out.empty());
    CHECK(result.err.find("would hold safetensors, not .") != std::string::npos);
    CHECK_FALSE(fs::exists(directory / file));
  }
}

TEST_CASE("a capture file without tensors is no input", "[hostile]") {
  const TempDir directory;
  // An empty zip archive is its end record alone.
  shell(directory.path(),
        "printf 'PK\\005\\006\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0\\0' > empty.npz");
  check_refused(shell(directory.path(), "exec \"$MLA\" check \"$MODEL\" empty.npz"),
                "holds no tensors");
}
