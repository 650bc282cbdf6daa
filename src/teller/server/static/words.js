// What the wire's short names are called on the page.

export const SOURCES = {
  tool: { label: "Banking tool", why: "Computed by the bank’s own rules, exactly; nothing was generated." },
  cache: { label: "Cache hit", why: "An answer that was given before, allowed again by the evidence below." },
  model: { label: "Model", why: "Worded by the language model and found to agree with the approved answer." },
  approved: { label: "Approved text", why: "The bank’s approved answer, word for word." },
  refused: { label: "Refused", why: "Not answered, by the bank’s policy or because nothing approved covers it." },
  handoff: { label: "Handed over", why: "A person takes over from here." },
  broken_off: { label: "Broken off", why: "The caller spoke over it or hung up before there was an answer." },
};

export const STAGES = {
  hear: "Hearing",
  redact: "Redaction",
  tools: "Banking tools",
  cache: "Cache",
  retrieve: "Knowledge",
  generate: "Model",
  ground: "Grounding check",
  keep: "Kept in the cache",
  speak: "First sound",
};

export const MISSES = {
  empty: "Nothing is stored yet for this bank, language and model.",
  not_eligible: "Not looked up: actions, live values and personal data never are.",
  no_identity: "Not looked up: it needs a caller whose identity was verified.",
  low_confidence: "Not looked up: the speech was not heard surely enough.",
  too_far: "No stored question is near enough.",
  values_differ: "A near question was found, but with other amounts, dates or products.",
  polarity_differs: "A near question was found, but it asks for the opposite.",
  roles_differ: "A near question was found, but with the parties swapped.",
  no_consensus: "The nearest questions have different answers.",
  uncertain: "The evidence lies outside the certified region.",
  class_closed: "For this class of questions only exact matches are allowed.",
  expired: "The stored answer had reached the end of its life.",
  stale: "A rate or term that the stored answer rests on has changed.",
  template: "Its values come from the question, so it is computed anew.",
  disabled: "The cache is switched off.",
  failed: "The cache could not be read; the turn went on without it.",
};

export const REASONS = {
  crisis: "A caller who may be in danger is always given to a person.",
  asked_for_a_person: "The caller asked for a person.",
  offer_taken: "The caller accepted the offer of a person.",
  a_person_takes_over: "The bank wants a person for this subject.",
  not_covered_twice: "Two questions in a row could not be answered.",
  not_covered: "Nothing approved covers the question.",
  not_heard: "The speech could not be understood.",
  not_heard_again: "The speech could not be understood again.",
  instructions: "It tried to change the assistant’s instructions.",
  someone_elses_data: "It asks about another person.",
  secrets: "It asks for a secret such as a PIN.",
  live_value: "It asks for a live value of an account.",
  advice: "It asks for financial advice.",
  action: "It asks to move money.",
};

export const REDACTED = {
  card: "card number",
  cvv: "security code",
  iban: "IBAN",
  account: "account number",
  sort_code: "sort code",
  email: "e-mail address",
  phone: "phone number",
  name: "name",
  person: "name",
  address: "address",
  postcode: "postcode",
  dob: "date of birth",
  pin: "PIN",
  otp: "one-time code",
};

export const STATES = {
  connecting: "Connecting",
  offline: "Not connected",
  listening: "Ready",
  hearing: "Listening to you",
  thinking: "Thinking",
  speaking: "Speaking",
  ended: "Call ended",
};

export const EXAMPLES = [
  "What would a 10,000 pound loan over five years cost me a month?",
  "I have lost my card, what do I do?",
  "I have misplaced my card, what should I do?",
  "My card 4111 1111 1111 1111 was declined in a shop, why?",
  "How much interest would 5,000 pounds earn in a year?",
  "I would like to speak to a person",
];

const spaced = (name) => name.replaceAll("_", " ");

export const redactedWord = (kind) => REDACTED[kind] ?? spaced(kind);
export const reasonWord = (reason) => REASONS[reason] ?? spaced(reason);
export const missWord = (reason) => MISSES[reason] ?? spaced(reason);
export const stageWord = (stage) => STAGES[stage] ?? spaced(stage);

/** Milliseconds for people: 0.4 ms, 12 ms, 1.25 s. */
export function milliseconds(ms) {
  if (ms < 0.05) return "< 0.1 ms";
  if (ms >= 1000) return `${(ms / 1000).toFixed(2)} s`;
  return ms < 10 ? `${ms.toFixed(1)} ms` : `${Math.round(ms)} ms`;
}

export const percent = (share, digits = 0) => `${(100 * share).toFixed(digits)} %`;
