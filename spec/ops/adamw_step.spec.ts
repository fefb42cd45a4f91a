/**
 * adamw_step is AdamW.
 */
import * as laws from '../../src/verify/ops/adamw_step.ts'
import { stateLaws } from '../harness/state.ts'

stateLaws(laws)
