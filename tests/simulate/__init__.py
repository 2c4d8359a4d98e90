"""The simulator: the real engine, outbox, store and receivers' judgement against seeded faults, in virtual time.

`python -m tests.simulate` runs it; docs/simulator.md says what it plays, what it checks and how to read a history.
The parts: `loop` (time and order), `dice`, `plan` (what happens, by seed), `people` (how they are told, by seed),
`world` (sources), `services` (receivers), `disk` (the store's thread), `process` (one life of the program), `asking`
(what people ask of it), `key`, `model` and `life` (what fires), `exact`, or `laws` with `ways` and `known` (who is
told), `judge` (what must never be), `run` (one seed from start to verdict), `mistakes` and `gallery` (what it must
find).
"""
