// The page of --report.
#include <doctest/doctest.h>
#include <stdlib.h>
#include <unistd.h>

#include <regex>
#include <string>

#include "agent-src/report/report_page.hpp"
#include "common/base/fd.hpp"
#include "common/base/scope_exit.hpp"
#include "common/html/html.hpp"
#include "tests/unit/report/sample.hpp"

namespace crx {
namespace {

PageObserver moved() {
  PageObserver page(4711, "host-b:7077", false);
  page.done(sample_report());
  return page;
}

// Returns the sum of the values that the rows of a chart carry.
int64_t drawn(const std::string& page, const std::string& key) {
  const std::regex row("<div class=\"row\" data-key=\"" + key + "\" data-name=\"[^\"]*\" data-value=\"([0-9]+)\"");
  int64_t sum = 0;
  for (std::sregex_iterator at(page.begin(), page.end(), row), end; at != end; ++at) sum += std::stoll((*at)[1]);
  return sum;
}

TEST_CASE("page: it stands alone and escapes what it shows") {
  const std::string page = render_html(moved().page());
  CHECK(page.starts_with("<!doctype html>"));
  CHECK(page.find("prog&lt;&amp;&gt;\xef\xbf\xbd") != std::string::npos);
  CHECK(page.find("prog<") == std::string::npos);
  CHECK(page.find("12.345 ms") != std::string::npos);
  CHECK(page.find("prefers-color-scheme: dark") != std::string::npos);
  for (const char* outside : {"http:", "https:", "<script", "url(", "src=", "@import", "nan", "inf\""}) {
    CHECK_MESSAGE(page.find(outside) == std::string::npos, outside);
  }
  CHECK(render_html(ReportPage{}).find("</html>") != std::string::npos);
}

TEST_CASE("page: the drawn steps add up to the headline, and the phases to the whole time") {
  const std::string page = render_html(moved().page());
  CHECK(drawn(page, "step") == 12'345);
  CHECK(page.find("data-key=\"downtime_us\" data-value=\"12345\"") != std::string::npos);
  CHECK(page.find("data-key=\"total_us\" data-value=\"2345678\"") != std::string::npos);
  for (const char* phase : kPhases)
    CHECK_MESSAGE(page.find(std::string(">") + phase + "<") != std::string::npos, phase);
  CHECK(page.find("8,000 µs") != std::string::npos);
}

TEST_CASE("page: a refusal has its findings, a failure its reason and how far it came") {
  PageObserver refused(5, "host-b:7077", false);
  CHECK_FALSE(refused.is_complete());
  refused.preflight({{true, "host-a", "pid 5 fd 3", "is a <terminal>", "use --shell-job"}});
  CHECK_FALSE(refused.is_complete());
  refused.failed({Outcome::refused, "s", 5, "preflight: pid 5 fd 3: is a <terminal>", ErrorCode::refused});
  CHECK(refused.is_complete());
  std::string page = render_html(refused.page());
  for (const char* part : {"pid 5 did not move: to host-b:7077", "nothing was touched", "is a &lt;terminal&gt;",
                           "use --shell-job", "id=\"findings\""}) {
    CHECK_MESSAGE(page.find(part) != std::string::npos, part);
  }

  PageObserver failed(4711, "host-b:7077", false);
  MigrationReport report = sample_report();
  report.phases.resize(4);
  report.cutover = {};
  failed.stopped_short(report);
  failed.failed({Outcome::failed, report.session, 4711, "pre-copy: too fast", ErrorCode::refused});
  page = render_html(failed.page());
  CHECK(page.find("runs on here, unharmed") != std::string::npos);
  CHECK(page.find("pre-copy: too fast") != std::string::npos);
  CHECK(page.find("did not move: host-a to host-b") != std::string::npos);
  CHECK(page.find("data-key=\"downtime_us\"") == std::string::npos);

  PageObserver doubt(4711, "host-b:7077", false);
  doubt.failed({Outcome::in_doubt, "abc", 4711, "no answer", ErrorCode::peer});
  CHECK(render_html(doubt.page()).find("crx-migrate --resolve abc") != std::string::npos);

  PageObserver check(5, "host-b:7077", true);
  check.preflight({});
  CHECK(check.is_complete());
  CHECK(render_html(check.page()).find("Nothing stands in its way") != std::string::npos);
}

TEST_CASE("page: it is written beside its path and renamed") {
  std::string dir = "/tmp/crx-report-XXXXXX";
  REQUIRE(::mkdtemp(dir.data()) != nullptr);
  const std::string path = dir + "/r.html";
  const ScopeExit remove([&] {
    ::unlink(path.c_str());
    ::rmdir(dir.c_str());
  });
  moved().write(path);
  CHECK(read_file(path) == render_html(moved().page()));
  CHECK_THROWS_AS(moved().write(dir + "/absent/r.html"), Error);
}

TEST_CASE("html: text is shown as it is, and cannot pretend to be other text") {
  CHECK(html::escape("a<b>&\"c'") == "a&lt;b&gt;&amp;&quot;c&#39;");
  CHECK(html::escape("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x99") ==
        "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x90\x99");
  const std::string bad = "\xef\xbf\xbd";
  for (const char* text : {"\xff", "\x01", "\n", "\x7f", "\xc0", "\xe2\x80\xae", "\xc2\x85", "\xed", "\xe2\x81\xa6"})
    CHECK_MESSAGE(html::escape(text) == bad, text);
  CHECK(html::escape("\xc0\xaf") == bad + bad);
  CHECK(html::escape("\xed\xa0\x80") == bad + bad + bad);  // a surrogate
  CHECK(html::exact_us(870) == "870 µs");
  CHECK(html::exact_us(12'045) == "12.045 ms");
  CHECK(html::exact_us(4'100'000) == "4.100000 s");
}

}  // namespace
}  // namespace crx
