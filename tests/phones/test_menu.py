"""The main menu, and menus of the tests' own whose prompts are short."""
import pytest

from office import wait_until
from phone import prompt

MAIN = prompt("menu-main")
SAID = prompt("one-moment-please")
ASKS = prompt("pls-hold-while-try")          # the prompt of menu 430
INNER = prompt("number-not-answering")       # and of 431
WRONG = prompt("cancelled")                  # what 430 says to a wrong choice
INVALID = prompt("invalid")                  # what menus say that have no phrase of their own


@pytest.fixture
def menus(office):
    office.change("""
        INSERT INTO pbx.menu (domain, number, name, prompt, invalid_prompt, first_timeout_ms, digit_timeout_ms, retries, fallback) VALUES
            ('office', '430', 'Outer', 'pls-hold-while-try', 'cancelled', 700, 2000, 2, '1001'),
            ('office', '431', 'Inner', 'number-not-answering', NULL, 2000, 700, 0, NULL);
        INSERT INTO pbx.menu_choice (domain, number, digits, target) VALUES
            ('office', '430', '1', '1002'), ('office', '430', '4', '431'), ('office', '430', '12', '600'), ('office', '431', '3', '410');
        INSERT INTO pbx.route (domain, context, pattern, name) VALUES ('office', 'office', '_43[01]', 'Menus of the tests');
        INSERT INTO pbx.step (domain, context, pattern, position, app, args)
            VALUES ('office', 'office', '_43[01]', 1, 'menu', '{"menu": "${number}"}')""")
    yield
    office.change("""
        DELETE FROM pbx.route WHERE pattern = '_43[01]';
        DELETE FROM pbx.menu WHERE number IN ('430', '431')""")


def answers(phone, caller, rings_s=0):
    """It rings, as the caller hears when it rings long enough, is answered, and they hear each other."""
    phone.wait("CALL_INCOMING")
    if rings_s:
        assert caller.tone_ms(caller.listens(rings_s)) > 500
    phone.accept()
    phone.wait_sound()
    since = caller.mark()
    phone.say(SAID)
    caller.hears(SAID, since)
    since = phone.mark()
    caller.say(SAID)
    phone.hears(SAID, since)


def test_main_menu_speaks_and_a_digit_interrupts_it(phones):
    a, b = phones("1001"), phones("1002")
    a.call("400")
    a.hears(MAIN.part(0, 4))
    a.press("1")
    answers(b, a, rings_s=1.5)
    # The prompt had 20 s more to say.
    assert not a.look_for(MAIN.part(6, 10)).same
    a.hangup()
    b.wait("CALL_CLOSED")


@pytest.mark.parametrize("codec", ["PCMA", "G722"])
def test_caller_dials_an_extension_while_the_prompt_plays(phones, codec):
    a, b, c = phones("1001", codec=codec), phones("1002"), phones("1003")
    a.call("400")
    a.hears(MAIN.part(0, 1.5))
    a.press("1003")
    answers(c, a)
    # 1 alone would have been 1002.
    assert not b.has("CALL_INCOMING")


def test_choice_rings_a_group_until_one_answers(phones):
    a, b, c = phones("1001"), phones("1004"), phones("1006")
    a.call("400")
    a.press("3")
    b.wait("CALL_INCOMING")
    answers(c, a)
    b.wait("CALL_CLOSED")


def test_silent_caller_is_asked_again_twice_then_put_through(phones, menus):
    operator, a = phones("1001"), phones("1002")
    a.call("430")
    since = 0
    for _ in range(3):
        assert not operator.has("CALL_INCOMING")
        since = a.hears(ASKS, since)["end_s"]
    answers(operator, a)


def test_wrong_choice_is_told_and_asked_again(phones, menus):
    operator, a = phones("1001"), phones("1002")
    a.call("430")
    since = a.hears(ASKS.part(0, 1))["end_s"]
    for digit in "78":
        a.press(digit)
        since = a.hears(WRONG, since)["end_s"]
        since = a.hears(ASKS.part(0, 1), since)["end_s"]
    a.press("9")
    since = a.hears(WRONG, since)["end_s"]
    answers(operator, a)


def test_menu_without_a_way_on_hangs_up(phones, menus):
    a = phones("1002")
    a.call("431")
    a.press("7")
    a.hears(INVALID)
    a.wait("CALL_CLOSED")


def test_longer_choice_and_number_win_over_their_beginnings(phones, menus):
    a, b = phones("1001"), phones("1002")
    a.call("430")
    a.press("12")

    def is_echoed():
        since = a.mark()
        a.says(SAID)
        a.listens(0.5)
        return a.look_for(SAID, since).same

    wait_until(is_echoed)                # by 600
    a.hangup()
    a.call("430")
    a.press("1")                         # after a pause it is 1
    answers(b, a)


def test_menu_leads_to_a_menu(phones, menus):
    a, c = phones("1001"), phones("1005")
    a.call("430")
    a.press("4")
    a.hears(INNER.part(0, 1.2))
    a.press("3")
    answers(c, a)


def test_digits_typed_before_the_prompt_count(phones, menus):
    a, c = phones("1001"), phones("1005")
    a.call("430")
    a.press("43")
    answers(c, a)
