#include "support/catch.hpp"
#include "support/temp_dir.hpp"

#include <mla_scale/core/file.hpp>

#include <sys/stat.h>

using namespace mla_scale;

TEST_CASE("a file is read whole, and refused above its bound", "[core]") {
  const TempDir dir;
  REQUIRE(write_file(dir / "a", "hello"));
  CHECK(read_file(dir / "a", 5).value() == "hello");
  CHECK(read_file(dir / "a", 4).error().kind == ErrorKind::unreadable);
  CHECK(read_file_head(dir / "a", 2).value() == "he");
}

TEST_CASE("missing files, directories, FIFOs and devices are errors and never block", "[core]") {
  const TempDir dir;
  REQUIRE(::mkfifo((dir / "fifo").c_str(), 0600) == 0);
  CHECK(read_file(dir / "none", 10).error().kind == ErrorKind::not_found);
  CHECK(read_file(dir.path(), 10).error().kind == ErrorKind::unreadable);
  CHECK(read_file(dir / "fifo", 10).error().kind == ErrorKind::unreadable);
  CHECK(read_file("/dev/zero", 10).error().kind == ErrorKind::unreadable);
}

TEST_CASE("writing replaces the file in one step and leaves nothing behind when it fails",
          "[core]") {
  const TempDir dir;
  REQUIRE(write_file(dir / "a", "one"));
  REQUIRE(write_file(dir / "a", "two"));
  CHECK(read_file(dir / "a", 10).value() == "two");
  CHECK(write_file(dir / "no/such/dir", "x").error().kind == ErrorKind::write);
  CHECK(std::distance(std::filesystem::directory_iterator(dir.path()), {}) == 1);
}

TEST_CASE("writing to a full device fails with the system's reason", "[core]") {
  const auto written = write_file("/dev/full", "x");
  REQUIRE(!written);
  CHECK(written.error().message.find("No space left") != std::string::npos);
}

TEST_CASE("writing through a symbolic link keeps the link", "[core]") {
  const TempDir dir;
  REQUIRE(write_file(dir / "target", "one"));
  std::filesystem::create_symlink(dir / "target", dir / "link");
  REQUIRE(write_file(dir / "link", "two"));
  CHECK(std::filesystem::is_symlink(dir / "link"));
  CHECK(read_file(dir / "target", 10).value() == "two");
}
