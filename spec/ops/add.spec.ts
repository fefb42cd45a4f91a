/**
 * add rounds once.
 */
import * as laws from '../harness/laws/add.ts'
import { stateLaws } from '../harness/laws/law.ts'

stateLaws(laws)
