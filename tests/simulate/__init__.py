"""The simulator: the real engine, outbox, store and receivers' judgement against seeded faults, in virtual time.

`python -m tests.simulate` runs it; docs/simulator.md says what it plays, what it checks and how to read a history.
The parts: `loop` (time and order), `plan` (what happens, by seed), `world` (sources), `services` (receivers), `disk`
(the store's thread), `process` (one life of the program), `model` (what should be told), `judge` (what must never
be), `run` (one seed from start to verdict), `mistakes` (what it must find).
"""
