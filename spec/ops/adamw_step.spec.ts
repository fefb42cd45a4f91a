/**
 * adamw_step is AdamW.
 */
import * as laws from '../harness/laws/adamw_step.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
