// Building blocks of self-contained HTML pages. Every text that is passed in is escaped here, unless its name says that
// it is HTML already. The functions keep no state and may be called from any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace crx::html {

// Returns the text for use in an element or in a quoted attribute: the characters of HTML become references,
// and what printable() (common/base/log.hpp) replaces becomes U+FFFD, so that a name cannot make another text of what
// stands around it.
std::string escape(std::string_view text);

// The text before and after the content: the declaration, the style and <main>. refresh_s: the page is loaded again
// after this many seconds; 0: never.
std::string begin_page(std::string_view title, int refresh_s = 0);
std::string end_page();

// <section> with a heading around `body_html`.
std::string section(std::string_view title, std::string_view body_html);

// A duration to the microsecond: "870 µs", "12.345 ms", "4.100000 s".
std::string exact_us(int64_t us);
// A number of microseconds for a column of them: "12,345 µs". Negative values are shown as 0.
std::string count_us(int64_t us);

// A figure in large type. key, value: the name and the exact number as in the JSON output, kept in attributes; key may
// be empty.
struct Tile {
  std::string_view css;  // "stop", "good", "bad" or empty
  std::string_view key;
  std::string value;
  std::string text;
  std::string caption;
};
std::string tiles(const std::vector<Tile>& all);

// A piece of a bar, in shares of the whole track (0 to 1).
struct Piece {
  std::string_view css;  // "raw", "compressed", "zero", "stop" or "calm"
  double left = 0;
  double width = 0;
  std::string title;
};
// One row of a chart: a name, a track with pieces, a text. value: the exact number, kept in an attribute.
struct Row {
  std::string name;
  std::vector<Piece> pieces;
  std::string text;
  int64_t value = 0;
  bool indented = false;
};
// span_us: the time that a whole track stands for, with an axis below the rows; 0: no axis. key: the name of the rows'
// numbers, kept in an attribute. `sum` is the last row, without a bar.
struct Sum {
  std::string name, text, key;
  int64_t value = 0;
};
std::string chart(std::string_view key, const std::vector<Row>& rows, int64_t span_us, const Sum* sum = nullptr);

// A table whose rows become cards at the width of a phone, unless it has two columns only. A cell is text; an empty
// table shows `nothing`.
class Table {
 public:
  // id: of the element; columns: the headings. The first column is aligned to the left, and so are those that `left`
  // names by their number.
  Table(std::string_view id, std::vector<std::string> columns, std::vector<std::size_t> left = {});
  void add(const std::vector<std::string>& cells);
  std::string html(std::string_view nothing) const;

 private:
  std::string id_;
  std::vector<std::string> columns_;
  std::vector<bool> left_;
  std::string rows_;
};

}  // namespace crx::html
