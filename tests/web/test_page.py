"""The page in headless Chromium: what it shows, by hand and by keyboard, large and small."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import peewee
import pytest
from peewee import IntegerField
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from peewee_multidb import Databases, HashShards, Model
from peewee_multidb.web import StatusApp
from peewee_multidb.web.page import clock, seconds, section_bodies, size, summary
from tests.observe.conftest import Shop
from tests.web.conftest import look_as, served

Opened = Callable[..., StatusApp]
EVIL = '"><script>window.hacked=1</script><img src=x onerror="window.hacked=2">\u202e'

#: The contrast of each text with what is behind it, by WCAG's formula; a list of those below 4.5.
CONTRAST = """
const lum = c => { const f = v => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; };
  return .2126 * f(c[0]) + .7152 * f(c[1]) + .0722 * f(c[2]); };
const rgb = s => s.match(/[\\d.]+/g).map(Number);
const bad = [];
for (const e of document.querySelectorAll("body *")) {
  const own = [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim());
  if (!own || !e.getClientRects().length || e.closest("noscript, script")) continue;
  let at = e, back = [0, 0, 0, 0];
  while (at && back[3] === 0) { const c = rgb(getComputedStyle(at).backgroundColor);
    back = c.length === 3 ? [...c, 1] : c; at = at.parentElement; }
  const [a, b] = [lum(rgb(getComputedStyle(e).color)), lum(back)].sort((x, y) => y - x);
  if ((a + .05) / (b + .05) < 4.5) bad.push(e.outerHTML.slice(0, 80));
}
return bad;
"""


def wait(chromium: webdriver.Chrome) -> WebDriverWait[Any]:
    return WebDriverWait(chromium, 30, poll_frequency=0.05)


def text_of(chromium: webdriver.Chrome, key: str) -> str:
    return chromium.find_element(By.ID, key).text


@pytest.fixture
def url(shop: Shop, opened: Opened) -> Iterator[str]:
    """The page of the shop, which has been asked some things."""
    app = opened(shop.registry, models=[shop.Order], slow=1e-9, interval=0.5)
    shop.User.create(name="x")
    for user in range(8):
        shop.Order.create(user=user)
    list(shop.Order.select())
    with served(app) as port:
        yield f"http://127.0.0.1:{port}/"


def test_every_section_shows_what_is_there_and_nothing_is_complained_of(
    chromium: webdriver.Chrome, url: str
) -> None:
    look_as(chromium, width=1280)
    chromium.get_log("browser")
    chromium.get(url)
    headings = [one.text for one in chromium.find_elements(By.TAG_NAME, "h2")]
    assert headings == [
        *("Databases", "Throughput", "Replica lag", "Shard sizes", "Slow queries", "Recent routes")
    ]
    databases = text_of(chromium, "databases")
    assert all(name in databases for name in ("default", "s1", "s2")) and databases.count("answers") == 3
    assert "Shards of Order" in text_of(chromium, "shards") and "kB" in text_of(chromium, "shards")
    assert "shop_order" in text_of(chromium, "slow")
    routes = text_of(chromium, "routes")
    assert "one part of a query over several shards" in routes and "Order" in routes
    assert "all answer" in text_of(chromium, "summary")
    complaints = [line for line in chromium.get_log("browser") if "favicon" not in line["message"]]
    assert complaints == []


def test_what_happens_shows_without_loading_the_page_again(
    chromium: webdriver.Chrome, shop: Shop, url: str
) -> None:
    look_as(chromium, width=1280)
    chromium.get(url)
    chromium.execute_script("window.same = true")
    assert "Update me" not in chromium.page_source
    shop.User.update(name="y").execute()
    wait(chromium).until(lambda browser: "UPDATE" in text_of(browser, "routes"))
    assert chromium.execute_script("return window.same") is True
    assert text_of(chromium, "live") == "Live"


def test_it_is_read_without_scripts(chromium: webdriver.Chrome, url: str) -> None:
    look_as(chromium, width=1280, scripts=False)
    try:
        chromium.get(url)
        assert "answers" in text_of(chromium, "databases") and "Order" in text_of(chromium, "routes")
        assert chromium.find_elements(By.CSS_SELECTOR, "meta[http-equiv=refresh]")
        assert chromium.find_elements(By.ID, "pause") == []
    finally:
        look_as(chromium, width=1280)


def test_everything_is_reached_by_the_keyboard_and_the_focus_is_seen(
    chromium: webdriver.Chrome, url: str
) -> None:
    look_as(chromium, width=1280)
    chromium.get(url)
    wait(chromium).until(lambda browser: browser.find_elements(By.ID, "pause"))
    body = chromium.find_element(By.TAG_NAME, "body")
    reached = []
    for _ in range(8):
        body.send_keys(Keys.TAB)
        focused = chromium.switch_to.active_element
        reached.append(focused.text or focused.get_attribute("href"))
        outline = focused.value_of_css_property("outline-style")
        assert outline != "none", reached[-1]
    assert reached[0] == "Skip to the databases" and "Pause" in reached and "Slow queries" in reached
    chromium.get(url)
    chromium.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    skip = chromium.switch_to.active_element
    assert skip.is_displayed() and skip.location["x"] >= 0
    skip.send_keys(Keys.ENTER)
    assert chromium.switch_to.active_element.get_attribute("id") == "main"
    pause = chromium.find_element(By.ID, "pause")
    pause.send_keys(Keys.SPACE)
    wait(chromium).until(lambda browser: text_of(browser, "live") == "Paused")
    assert pause.text == "Go on"


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [375, 1280])
def test_it_fits_a_phone_and_a_desk_and_is_read_by_day_and_by_night(
    chromium: webdriver.Chrome, url: str, width: int, dark: bool
) -> None:
    look_as(chromium, width=width, dark=dark)
    chromium.get(url)
    wide = chromium.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width, "nothing sticks out"
    assert chromium.execute_script(CONTRAST) == []
    ground = chromium.find_element(By.TAG_NAME, "body").value_of_css_property("background-color")
    assert (sum(map(int, ground[ground.index("(") + 1 : -1].split(",")[:3])) < 200) is dark
    sizes = chromium.execute_script(
        "return [...document.querySelectorAll('td,th,li,p')].filter(e => e.getClientRects().length)"
        ".map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 13


def test_tables_charts_and_regions_have_names_for_those_who_hear_the_page(
    chromium: webdriver.Chrome, url: str
) -> None:
    look_as(chromium, width=1280)
    chromium.get(url)
    nameless = chromium.execute_script(
        "return [...document.querySelectorAll('table')].filter(t => !t.caption || "
        "[...t.tHead.querySelectorAll('th')].some(h => h.scope !== 'col') || "
        "[...t.tBodies[0].rows].some(r => r.cells[0].scope !== 'row')).length"
    )
    assert nameless == 0
    assert chromium.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"
    assert len(chromium.find_elements(By.CSS_SELECTOR, "main > section[aria-labelledby]")) == 6
    for plot in chromium.find_elements(By.CSS_SELECTOR, "svg.plot"):
        assert plot.get_attribute("role") == "img" and plot.get_attribute("aria-label")


def test_names_sql_and_errors_are_text_whatever_is_in_them(
    chromium: webdriver.Chrome, opened: Opened, tmp_path: Any
) -> None:
    registry_ = Databases(
        {
            EVIL: f"sqlite:///{tmp_path}/evil.db",
            "other": f"sqlite:///{tmp_path}/other.db",
            "down": f"postgresql://u:{'s3cret' * 3}@127.0.0.1:1/d",
        }
    )
    options = {"registry": registry_, "db_name": HashShards(EVIL, "other", key="n"), "table_name": "evil"}
    meta = type("Meta", (), options)
    Evil: Any = type(Model)(EVIL, (Model,), {"n": IntegerField(), "Meta": meta, "__module__": __name__})
    app = opened(registry_, models=[Evil], slow=1e-9, interval=60)
    registry_.create_tables([Evil])
    list(Evil.select(peewee.SQL(f"'{EVIL}' AS {peewee.Entity('x')._path[0]}")).where(Evil.n == 1))
    database = registry_["other"]
    database.execute_sql(f'SELECT 1 AS "{EVIL.replace(chr(34), chr(34) * 2)}"')
    with pytest.raises(peewee.OperationalError):
        database.execute_sql(f'SELECT "{EVIL.replace(chr(34), "")}" FROM nowhere')
    look_as(chromium, width=1280)
    with served(app) as port:
        chromium.get(f"http://127.0.0.1:{port}/")
        chromium.execute_async_script("setTimeout(arguments[0], 300)")
        assert chromium.execute_script("return window.hacked") is None
        assert chromium.find_elements(By.CSS_SELECTOR, "img, script:not([src$='page.js'])") == []
        assert "<script>window.hacked=1" in text_of(chromium, "databases")
        assert "<script>window.hacked=1" in text_of(chromium, "routes")
        assert "window.hacked" in text_of(chromium, "slow")
        assert "does not answer" in text_of(chromium, "databases")
        assert "s3cret" not in chromium.page_source and "\u202e" not in chromium.page_source
    registry_.close_all()


def test_the_form_takes_the_token_and_the_address_never_holds_it(
    chromium: webdriver.Chrome, shop: Shop, opened: Opened
) -> None:
    token = "a-token-that-is-long-enough"
    look_as(chromium, width=375)
    with served(opened(shop.registry, token=token)) as port:
        home = f"http://127.0.0.1:{port}/"
        chromium.get(home)
        assert chromium.execute_script(CONTRAST) == []
        # It has the focus by itself, as soon as the browser has come to that.
        wait(chromium).until(lambda browser: browser.switch_to.active_element.get_attribute("id") == "token")
        chromium.find_element(By.ID, "token").send_keys("something else", Keys.ENTER)
        wait(chromium).until(lambda browser: browser.find_elements(By.CSS_SELECTOR, "[role=alert]"))
        chromium.find_element(By.ID, "token").send_keys(token, Keys.ENTER)
        wait(chromium).until(lambda browser: browser.find_elements(By.ID, "databases"))
        assert chromium.current_url == home and chromium.execute_script("return document.cookie") == ""
        wait(chromium).until(lambda browser: browser.find_elements(By.ID, "pause"))
        chromium.find_element(By.XPATH, "//button[text()='Log out']").click()
        wait(chromium).until(lambda browser: browser.find_elements(By.ID, "token"))


def test_a_mounted_page_finds_its_files_below_its_path(
    chromium: webdriver.Chrome, shop: Shop, opened: Opened
) -> None:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    site = Starlette(routes=[Mount("/status", opened(shop.registry))])
    look_as(chromium, width=1280)
    with served(site) as port:
        chromium.get(f"http://127.0.0.1:{port}/status/")
        wait(chromium).until(lambda browser: browser.find_elements(By.ID, "pause"))
        assert "answers" in text_of(chromium, "databases")
        assert chromium.find_element(By.TAG_NAME, "section").value_of_css_property("border-radius") == "12px"


# What is written, without a browser


@pytest.fixture
def data(shop: Shop, opened: Opened) -> dict[str, Any]:
    """What is known of the shop's databases, from a process that asks them from outside."""
    return opened(shop.registry, models=[shop.Order], live=False, interval=60).data()


def test_sizes_and_durations_are_for_people() -> None:
    sizes = [size(value) for value in (None, 0, 999, 1000, 12_345_678, 5e9, 1234e12)]
    assert sizes == ["unknown", "0 B", "999 B", "1 kB", "12.3 MB", "5 GB", "1,234.0 TB"]
    durations = [seconds(value) for value in (None, float("inf"), 0.0125, 1.5, 12345)]
    assert durations == ["unknown", "stopped", "12.5 ms", "1.5 s", "12,345 s"]


def test_a_moment_is_the_time_in_utc_for_people_and_for_programs() -> None:
    assert clock(None) == "never"
    assert clock(86_399) == '<time datetime="1970-01-01T23:59:59Z">23:59:59</time>'


@pytest.mark.parametrize(
    ("changed", "said", "kind"),
    [
        ({"reachable": False, "problem": "refused"}, "does not answer", "bad"),
        ({"problem": "is behind"}, "gets no reads", "meh"),
        ({"role": "replica", "lag": float("inf")}, "not replicating", "bad"),
        ({"role": "replica", "lag": 0.5}, "answers", "good"),
    ],
)
def test_the_state_of_a_server_is_a_word(
    data: dict[str, Any], changed: dict[str, Any], said: str, kind: str
) -> None:
    data["databases"][0]["servers"][0].update(changed)
    html = section_bodies(data)["databases"]
    assert f'<span class="state {kind}">{said}</span>' in html
    assert str(changed.get("problem", "")) in html


@pytest.mark.parametrize(
    ("problem", "said"), [(None, "not asked yet"), ("no such driver", "does not answer")]
)
def test_a_database_without_a_servers_word_is_not_said_to_answer(
    data: dict[str, Any], problem: str | None, said: str
) -> None:
    data["databases"] = data["databases"][:1]
    data["databases"][0].update(servers=[], problem=problem)
    html = section_bodies(data)["databases"]
    assert said in html and "answers" not in html and (problem or "") in html
    assert "1 does not answer" in summary(data)


def test_connections_are_those_of_the_server_and_those_of_the_pool(data: dict[str, Any]) -> None:
    data["databases"][0].update(connections=1234, pool={"in_use": 3, "size": 8})
    html = section_bodies(data)["databases"]
    assert "1,234" in html and "pool: 3 of 8" in html


def test_charts_show_what_was_counted_and_say_so_where_nothing_was(data: dict[str, Any]) -> None:
    data.update(work={}, lag={}, shards=[], failed=0)
    empty = section_bodies(data)
    assert "None of the servers counts what it does." in empty["throughput"]
    assert "No database has a replica that tells its lag." in empty["lag"]
    assert "No sharded model is known here." in empty["shards"]
    data.update(work={"statements": {"default": [1.0, 2.0]}}, lag={"default r1": [0.5, 2.0]}, failed=1234)
    shown = section_bodies(data)
    assert "What servers do, for everybody" in shown["throughput"] and "statements/s" in shown["throughput"]
    assert "1,234 queries of this application failed" in shown["throughput"]
    assert "Seconds behind the primary" in shown["lag"] and "default r1" in shown["lag"]


def test_routes_are_not_known_from_outside(data: dict[str, Any]) -> None:
    html = section_bodies(data)["routes"]
    assert "Mount the page in it with status_app()" in html and "<table" not in html
