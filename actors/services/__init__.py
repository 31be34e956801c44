"""The outside worlds: mail, browser, telephony, speech."""
