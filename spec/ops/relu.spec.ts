/**
 * relu keeps the positive part; its gradient is a gate.
 */
import * as laws from '../harness/laws/relu.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
