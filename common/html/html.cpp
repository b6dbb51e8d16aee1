#include "common/html/html.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "common/base/log.hpp"
#include "common/base/size.hpp"
#include "common/html/style.hpp"

namespace crx::html {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";  // U+FFFD
constexpr std::size_t kShort = 19;  // bytes of a cell that is not broken into lines; a date and a time fit

// Returns the distance of the marks of an axis so that three to six fit: 1, 2 or 5 times a power of ten.
int64_t axis_step(int64_t span_us) {
  for (int64_t step = 1;; step *= 10) {
    for (const int64_t factor : {1, 2, 5}) {
      if (step * factor * 6 >= span_us) return step * factor;
    }
  }
}

// A mark of an axis: a multiple of 1, 2 or 5 times a power of ten, so it has no long fraction.
std::string mark_text(int64_t us) {
  if (us == 0) return "0";
  if (us < 1000) return fmt::format("{} µs", us);
  return us < 1'000'000 ? fmt::format("{:g} ms", static_cast<double>(us) / 1e3)
                        : fmt::format("{:g} s", static_cast<double>(us) / 1e6);
}

std::string axis(int64_t span_us) {
  const int64_t step = axis_step(span_us);
  std::string out = "<div class=\"row axis\"><span class=\"name\"></span><span class=\"track\">";
  for (int64_t at = 0; at <= span_us; at += step) {
    const double share = static_cast<double>(at) / static_cast<double>(span_us);
    out += fmt::format("<em class=\"{}\" style=\"left:{:.2f}%\">{}</em>", share > 0.9 ? "end" : "", share * 100,
                       mark_text(at));
  }
  return out + "</span><span class=\"value\"></span></div>\n";
}

std::string row(std::string_view key, const Row& row) {
  std::string out = fmt::format("<div class=\"row\" data-key=\"{}\" data-name=\"{}\" data-value=\"{}\">", escape(key),
                                escape(row.name), row.value);
  out += fmt::format("<span class=\"name{}\">{}</span><span class=\"track\">", row.indented ? " in" : "",
                     escape(row.name));
  for (const Piece& piece : row.pieces) {
    const double left = std::clamp(piece.left, 0.0, 1.0);
    out += fmt::format("<i class=\"{}\" style=\"left:min({:.2f}%,100% - 2px);width:{:.2f}%\" title=\"{}\"></i>",
                       piece.css, left * 100, std::clamp(piece.width, 0.0, 1.0 - left) * 100, escape(piece.title));
  }
  return out + fmt::format("</span><span class=\"value\">{}</span></div>\n", escape(row.text));
}

}  // namespace

std::string escape(std::string_view text) {
  std::string out;
  for (const char c : printable(text, kReplacement)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string begin_page(std::string_view title, int refresh_s) {
  const std::string refresh =
      refresh_s > 0 ? fmt::format("<meta http-equiv=\"refresh\" content=\"{}\">\n", refresh_s) : std::string();
  return fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n{}<title>{}</title>\n"
      "<link rel=\"icon\" href=\"data:,\">\n<style>{}</style></head>\n<body><main>\n",
      refresh, escape(title), kStyle);
}

std::string end_page() {
  return "</main></body></html>\n";
}

std::string section(std::string_view title, std::string_view body_html) {
  return fmt::format("<section><h2>{}</h2>\n{}</section>\n", escape(title), body_html);
}

std::string exact_us(int64_t us) {
  if (us < 1000) return fmt::format("{} µs", us);
  if (us < 1'000'000) return fmt::format("{}.{:03} ms", us / 1000, us % 1000);
  return fmt::format("{}.{:06} s", us / 1'000'000, us % 1'000'000);
}

std::string count_us(int64_t us) {
  return format_count(static_cast<uint64_t>(std::max<int64_t>(us, 0))) + " µs";
}

std::string tiles(const std::vector<Tile>& all) {
  std::string out = "<div class=\"tiles\">\n";
  for (const Tile& tile : all) {
    out += fmt::format("<div class=\"tile {}\"><b data-key=\"{}\" data-value=\"{}\">{}</b><span>{}</span></div>\n",
                       tile.css, escape(tile.key), escape(tile.value), escape(tile.text), escape(tile.caption));
  }
  return out + "</div>\n";
}

std::string chart(std::string_view key, const std::vector<Row>& rows, int64_t span_us, const Sum* sum) {
  const double step =
      span_us > 0 ? 100.0 * static_cast<double>(axis_step(span_us)) / static_cast<double>(span_us) : 100.0;
  std::string out = fmt::format("<div class=\"rows\" style=\"--step:{:.2f}%\">\n", std::min(step, 100.0));
  for (const Row& each : rows) out += row(key, each);
  if (sum != nullptr) {
    out += fmt::format(
        "<div class=\"row sum\" data-key=\"{}\" data-value=\"{}\"><span class=\"name\">{}</span>"
        "<span class=\"track\"></span><span class=\"value\">{}</span></div>\n",
        escape(sum->key), sum->value, escape(sum->name), escape(sum->text));
  }
  if (span_us > 0) out += axis(span_us);
  return out + "</div>\n";
}

Table::Table(std::string_view id, std::vector<std::string> columns, std::vector<std::size_t> left)
    : id_(id), columns_(std::move(columns)), left_(columns_.size(), false) {
  for (const std::size_t number : left) left_.at(number) = true;
}

void Table::add(const std::vector<std::string>& cells) {
  rows_ += "<tr>";
  for (std::size_t i = 0; i < cells.size(); ++i) {
    rows_ += fmt::format("<td class=\"{}{}\" data-label=\"{}\"><span>{}</span></td>", left_.at(i) ? "left" : "",
                         cells[i].size() <= kShort ? " short" : "", escape(columns_.at(i)), escape(cells[i]));
  }
  rows_ += "</tr>\n";
}

std::string Table::html(std::string_view nothing) const {
  if (rows_.empty()) return fmt::format("<p class=\"note\" id=\"{}\">{}</p>\n", escape(id_), escape(nothing));
  std::string out =
      fmt::format("<table id=\"{}\"{}><tr class=\"head\">", escape(id_), columns_.size() == 2 ? " class=\"two\"" : "");
  for (std::size_t i = 0; i < columns_.size(); ++i)
    out += fmt::format("<th{}>{}</th>", left_[i] ? " class=\"left\"" : "", escape(columns_[i]));
  return out + "</tr>\n" + rows_ + "</table>\n";
}

}  // namespace crx::html
