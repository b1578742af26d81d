#include "support.hpp"
#include "support/sanitizer.hpp"

using namespace hostile;

TEST_CASE("standard output that is closed, full or wrong is an error that costs no file",
          "[hostile]") {
  const TempDir directory;
  for (const char* where : {">&-", "> /dev/full", "1</dev/null"}) {
    for (const char* command :
         {"inspect \"$MODEL\" -o json:file", "engines \"$MODEL\" -o json:file",
          "audit \"$MODEL\" -o json:file", "explain --list -o json:file"}) {
      INFO(command << ' ' << where);
      check_refused(shell(directory.path(), std::string("exec \"$MLA\" ") + command + " " + where),
                    "standard output cannot be written");
      CHECK(slurp(directory / "file").ends_with("}\n"));
      fs::remove(directory / "file");
    }
    for (const char* command : {"--help", "--version", "check --help", "completion bash",
                                "sample \"$MODEL\" --heads 1 --seq-len 8 -o file"}) {
      INFO(command << ' ' << where);
      check_refused(shell(directory.path(), std::string("exec \"$MLA\" ") + command + " " + where),
                    "standard output cannot be written");
    }
  }
}

TEST_CASE("a reader that goes away ends nothing: the verdict and the files are the same",
          "[hostile]") {
  const TempDir directory;
  const std::string zoo = std::string(PROJECT) + "/testdata/zoo";
  const ProcessResult result =
      shell(directory.path(), "{ \"$MLA\" audit '" + zoo
                                  + "' -f json -o json:file --fail-on never; echo $? >code; } | :");
  CHECK(result.err.empty());
  CHECK(slurp(directory / "code") == "0\n");
  CHECK(slurp(directory / "file").ends_with("}\n"));
  CHECK(shell(directory.path(), "{ \"$MLA\" --help; echo $? >code; } | :").err.empty());
  CHECK(slurp(directory / "code") == "0\n");
}

TEST_CASE("a message never ends in a file that took the place of a closed standard error",
          "[hostile]") {
  const TempDir directory;
  const ProcessResult result = shell(
      directory.path(), "exec \"$MLA\" audit \"$MODEL\" --snapshot file --bless <&- >&- 2>&-");
  CHECK(result.exit_code == 3);
  CHECK(slurp(directory / "file").starts_with("{\n"));
  CHECK(slurp(directory / "file").ends_with("}\n"));
}

TEST_CASE("a disk that is full leaves no half-written file and the old one as it was",
          "[hostile]") {
  const TempDir directory;
  const std::string old = "what was there before\n";
  // A limit of 512 bytes a file stands for the disk; the reports on standard output go to a pipe.
  for (const char* command : {"sample \"$MODEL\" --heads 1 --seq-len 64 -o file",
                              "audit \"$MODEL\" --snapshot file --bless",
                              "inspect \"$MODEL\" -o json:file", "engines \"$MODEL\" -o text:file",
                              "audit \"$MODEL\" -o sarif:file", "explain --list -o json:file"}) {
    INFO(command);
    write(directory / "file", old);
    const ProcessResult result = shell(directory.path(), std::string("(ulimit -f 1; exec \"$MLA\" ")
                                                             + command + " | cat >/dev/null)");
    CHECK(result.err.find("File too large") != std::string::npos);
    CHECK(slurp(directory / "file") == old);
    CHECK(std::distance(fs::directory_iterator(directory.path()), {}) == 1);
  }
}

TEST_CASE("memory that runs out is said in one line", "[hostile]") {
  if (k_sanitized) {
    return; // reserves terabytes
  }
  const TempDir directory;
  std::string text = "[";
  for (int i = 0; i < 1000000; ++i) {
    text += "1,";
  }
  write(directory / "config.json", text + "1]");
  const ProcessResult result =
      shell(directory.path(), "ulimit -v 60000; exec \"$MLA\" inspect config.json");
  check_refused(result, "not enough memory");
}
