"""
gdb and the tasks of libgrt. To gdb a process under libgrt has the kernel's threads only, each with the stack of the task that it
runs at the moment. This adds the others, in a living process and in a core:

    grt tasks               all tasks: what they do, on which kernel thread, where in the program
    grt task N              looks at task N from here on, until the program goes on: bt, up, frame, info locals, print
    grt task N COMMAND      one command there
    grt task all COMMAND    the same for each (or for some: grt task 3 5 bt)
    grt pin                 keeps the selected task on its kernel thread from now on, so that next, step, until and finish, which wait
                            for it on the thread where they began, find it there after it has waited (unpinned again: grt unpin)
    $_grt_task()            the id of the task that is looked at, for the condition of a breakpoint: break f if $_grt_task() == 3
    $_grt_var("NAME")       its own copy of a __thread variable; print NAME alone is right for a task that runs, in a living process

The ids are those of libgrt's tracebacks. ("task" and "info tasks" are gdb's own, for Ada; "goroutine" is Go's.)

A task that runs, or sleeps in the kernel, is shown by its kernel thread. For a parked one an unwinder of ours claims that the
innermost frame of the selected thread was called from where the task left its stack; a frame filter hides that innermost frame.
So nothing is written to the process (by grt pin only, which calls a function in it), and frame numbers begin with 1. Needs libgrt's debug information (.debug_info).

Loaded by itself if it is installed where gdb looks for it (see "info auto-load"); else: source PATH/libgrt-gdb.py
"""

import contextlib
import itertools

import gdb
from gdb.unwinder import Unwinder

ALLG_FIRST = 1024  # task.c
BOOTED = 1  # enum grt_state
GREGS_OFFSET = 40  # uc_mcontext.gregs in the kernel's struct ucontext
GREGS = "r8 r9 r10 r11 r12 r13 r14 r15 rdi rsi rbp rbx rdx rax rcx rsp rip".split()
CTX_WORDS = [None, None, "r15", "r14", "r13", "r12", "rbx", "rbp", "rip"]  # arch/arch.h


def words(address, count):
    memory = bytes(gdb.selected_inferior().read_memory(address, 8 * count))
    return [int.from_bytes(memory[i : i + 8], "little") for i in range(0, 8 * count, 8)]


def static_variable(function, name):
    """A static variable of the file that defines the function."""
    symbol = gdb.lookup_global_symbol(function)
    found = symbol and gdb.lookup_symbol(name, symbol.symtab.static_block())[0]
    if not found:
        raise gdb.GdbError("libgrt is not loaded, or has no debug information")
    return found.value()


def global_variable(name):
    symbol = gdb.lookup_global_symbol(name)
    if not symbol:
        raise gdb.GdbError("libgrt is not loaded, or has no debug information")
    return symbol.value()


def thread_of_lwp(lwp):
    for thread in gdb.selected_inferior().threads():
        if thread.ptid[1] == lwp:
            return thread
    return None


def of_libgrt(frame):
    """The frame is the runtime's, not the program's or another library's."""
    home = gdb.lookup_global_symbol("grt__allg_for_each")
    name = frame.name() or ""
    if name.startswith("grt__"):
        return True
    library = gdb.solib_name(int(home.value().address))
    return library is not None and gdb.solib_name(frame.pc()) == library


class Task:
    def __init__(self, value):
        self.value = value  # a struct g
        self.id = int(value["id"])
        self.status = int(value["status"])
        self.tcb = int(value["tcb"])

    def machine(self):
        """The kernel thread that it is on, or None."""
        mp = self.value["m"]
        if int(mp) == 0 or int(mp["curg"]) != int(self.value.address):
            return None
        return thread_of_lwp(int(mp["tid"]))

    def name(self):
        return self.value["name"].string(errors="replace", length=16).split("\0")[0]

    def state(self):
        names = [f.name[2:].lower() for f in gdb.lookup_type("enum g_status").fields()]
        state = names[self.status] if self.status < len(names) else "?"
        if state == "waiting":
            why = global_variable("grt__wait_reason_name")[int(self.value["wait_why"])]
            state = (why.string() if int(why) else "") or state
        return state + (", locked" if int(self.value["lockedm"]) else "")

    def registers(self):
        """Where it left its stack."""
        if int(self.value["preempted"]):
            regs = dict(zip(GREGS, words(int(self.value["frame_uc"]) + GREGS_OFFSET, len(GREGS))))
            # gdb takes it for a return address and looks at the instruction before.
            regs["rip"] += 1
            return regs
        sp = int(self.value["ctx"]["sp"])
        if sp & 1:  # it has not run yet: src/arch/arch.h
            entry = int(gdb.parse_and_eval("(long)&grt__ctx_entry"))
            return {"rip": entry, "rsp": int(self.value["birth"]["stack_hi"]), "rbp": 0}
        regs = {n: w for n, w in zip(CTX_WORDS, words(sp, len(CTX_WORDS))) if n}
        regs["rsp"] = sp + 8 * len(CTX_WORDS)
        return regs

    def is_new(self):
        """It has not run yet."""
        return not int(self.value["preempted"]) and int(self.value["ctx"]["sp"]) & 1 == 1


def all_tasks():
    if int(global_variable("grt__state")) != BOOTED:
        raise gdb.GdbError("no tasks: threads are the kernel's (libgrt has not begun, or stays 1:1)")
    first = global_variable("grt__main_g")
    count = int(static_variable("grt__allg_for_each", "nallg"))
    segments = static_variable("grt__allg_for_each", "allg_segment")
    tasks = [Task(first)]
    for s in range(32):
        size = ALLG_FIRST << s
        if count <= 0:
            break
        for i in range(min(size, count)):
            tasks.append(Task(segments[s][i].dereference()))
        count -= size
    gone = [i for i, f in enumerate(gdb.lookup_type("enum g_status").fields()) if f.name in ("G_IDLE", "G_DEAD")]
    return sorted((t for t in tasks if t.status not in gone), key=lambda t: t.id)


def find_task(number):
    for task in all_tasks():
        if task.id == number:
            return task
    raise gdb.GdbError("no task %d: see grt tasks" % number)


class View:
    """A parked task in the place of the selected thread's callers."""

    def __init__(self, task):
        self.task = task
        self.thread = gdb.selected_thread().ptid
        self.regs = task.registers()
        frame = gdb.newest_frame()
        self.first = 1  # frame of the task: calls that were inlined are frames as well
        while frame.type() == gdb.INLINE_FRAME:
            frame = frame.older()
            self.first += 1
        self.at = (int(frame.read_register("rsp")), int(frame.pc()))


view = None


def viewing():
    """The selected thread is the one that lends its place."""
    thread = gdb.selected_thread()
    return view is not None and thread is not None and thread.ptid == view.thread


class TaskUnwinder(Unwinder):
    class Id:
        def __init__(self, sp, pc):
            self.sp = sp
            self.pc = pc

    def __init__(self):
        super().__init__("libgrt")

    def __call__(self, pending):
        if not viewing():
            return None
        sp = pending.read_register("rsp")
        pc = pending.read_register("rip")
        if (int(sp), int(pc)) != view.at:
            return None
        # gdb ends a walk that comes to a lower address than the frame before: this one is below all stacks.
        info = pending.create_unwind_info(self.Id(gdb.Value(8).cast(sp.type), pc))
        for name, value in view.regs.items():
            info.add_saved_register(name, gdb.Value(value).cast(pending.read_register(name).type))
        return info


class TaskFilter:
    """bt leaves out the frame that is not the task's."""

    name = "libgrt"
    priority = 100
    enabled = True

    def filter(self, frames):
        return itertools.islice(frames, view.first, None) if viewing() else frames


def set_view(new):
    global view
    if view is not new:
        view = new
        gdb.invalidate_cached_frames()


def select_user_frame():
    """The first frame of the program, else the first of the task."""
    frame = gdb.newest_frame()
    for _ in range(view.first if viewing() else 0):
        frame = frame.older()
    first = frame
    while frame is not None and frame.is_valid() and of_libgrt(frame):
        frame = frame.older()
    frame = frame or first
    if frame is not None:
        frame.select()
    return frame


class Restored:
    """Thread, frame and view as they were, afterwards."""

    def __enter__(self):
        self.view = view
        self.thread = gdb.selected_thread()
        self.level = gdb.selected_frame().level() if self.thread else 0

    def __exit__(self, *exception):
        if self.thread and self.thread.is_valid():
            self.thread.switch()
        set_view(self.view)
        frame = gdb.newest_frame() if self.thread else None
        while frame is not None and frame.level() < self.level:
            frame = frame.older()
        if frame is not None:
            frame.select()
        return False


def go_to(task):
    """Selects the task and its first frame in the program, which is returned."""
    thread = task.machine()
    set_view(None)
    if thread is not None:
        thread.switch()
    else:
        set_view(View(task))
    return select_user_frame()


def where(task):
    if task.machine() is None and task.is_new():
        return "new, to run %s" % str(task.value["fn"]).split("<")[-1].rstrip(">")
    try:
        frame = go_to(task)
        line = frame.find_sal()
        place = " at %s:%d" % (line.symtab.filename, line.line) if line.symtab else ""
        return "%s ()%s" % (frame.name() or "0x%x" % frame.pc(), place)
    except (gdb.error, AttributeError) as e:
        return "stack unavailable: %s" % e


def current_task():
    if viewing():
        return view.task
    thread = gdb.selected_thread()
    mp = global_variable("grt__sched")["allm"]
    while thread is not None and int(mp):
        if int(mp["tid"]) == thread.ptid[1]:
            return Task(mp["curg"].dereference()) if int(mp["curg"]) else None
        mp = mp["all_next"]
    return None


class Grt(gdb.Command):
    """The tasks of a program under libgrt."""

    def __init__(self):
        super().__init__("grt", gdb.COMMAND_STACK, gdb.COMPLETE_NONE, True)


class Tasks(gdb.Command):
    """The tasks of a program under libgrt: id, state, kernel thread, name, and where in the program each is."""

    def __init__(self):
        super().__init__("grt tasks", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        tasks = all_tasks()
        current = current_task()
        print("  %-6s %-20s %-10s %-16s %s" % ("Id", "State", "Thread", "Name", "Frame"))
        with Restored():
            for task in tasks:
                mark = "*" if current and current.id == task.id else " "
                thread = task.machine()
                lwp = "LWP %d" % thread.ptid[1] if thread else "-"
                print("%s %-6d %-20s %-10s %-16s %s" % (mark, task.id, task.state(), lwp, task.name(), where(task)))


class TaskCommand(gdb.Command):
    """grt task N: look at task N.  grt task N... COMMAND: run one command there.
grt task all COMMAND: run it for each.  grt task: say which one is looked at."""

    def __init__(self):
        super().__init__("grt task", gdb.COMMAND_STACK, gdb.COMPLETE_COMMAND)

    def invoke(self, argument, from_tty):
        words = argument.split()
        numbers = list(itertools.takewhile(str.isdigit, words))
        command = " ".join(words[len(numbers) :])
        if not words:
            task = current_task()
            print("[Current task is %d (%s)]" % (task.id, task.state()) if task else "[No task is looked at]")
        elif words[0] == "all" and len(words) > 1:
            self.run(all_tasks(), " ".join(words[1:]))
        elif numbers and command:
            self.run([find_task(int(n)) for n in numbers], command)
        elif len(numbers) == 1:
            task = find_task(int(numbers[0]))
            go_to(task)
            print("[Looking at task %d (%s)]" % (task.id, task.state()))
            gdb.execute("frame")
        else:
            raise gdb.GdbError("usage: grt task N [COMMAND], grt task all COMMAND")

    @staticmethod
    def run(tasks, command):
        for task in tasks:
            if len(tasks) > 1:
                print("\nTask %d (%s)%s:" % (task.id, task.state(), " " + task.name() if task.name() else ""))
            try:
                with Restored():
                    go_to(task)
                    gdb.execute(command)
            except gdb.error as e:
                if len(tasks) == 1:
                    raise gdb.GdbError(str(e))
                print(e)


class Pin(gdb.Command):
    """Keep the selected task on its kernel thread, so that next, step, until and finish work across calls that wait."""

    def __init__(self, name="grt pin", function="grt_lock_os_thread"):
        self.function = function
        super().__init__(name, gdb.COMMAND_RUNNING)

    def invoke(self, argument, from_tty):
        task = current_task()
        if task is None or viewing():
            raise gdb.GdbError("not a task that runs: stop it at a breakpoint first")
        if of_libgrt(gdb.newest_frame()) or int(task.value["tls"]["crit"]):
            raise gdb.GdbError("the task is inside libgrt: stop it in the program's code first")
        gdb.execute("call (void)%s()" % self.function)


class TaskId(gdb.Function):
    """The id of the task that the selected thread runs, or that is looked at; 0: none."""

    def __init__(self):
        super().__init__("_grt_task")

    def invoke(self):
        task = current_task()
        return task.id if task else 0


class TaskVar(gdb.Function):
    """The selected task's own copy of a __thread variable (of the program, or of a library that it was started with)."""

    def __init__(self):
        super().__init__("_grt_var")

    def invoke(self, name):
        if current_task() is None:
            raise gdb.GdbError("no task")
        value = self.find(name.string())
        if value is None:
            raise gdb.GdbError("%s is not to be found" % name.string())
        return value

    def find(self, name):
        """It is at the same distance from every thread pointer: libthread_db knows some thread to measure it with."""
        task = current_task()
        here = gdb.selected_thread()
        threads = [here] + [t for t in gdb.selected_inferior().threads() if t.num != here.num]
        for thread in threads:
            try:
                handle = int.from_bytes(bytes(thread.handle()), "little")
            except RuntimeError:
                continue
            with Restored() if thread.num != here.num else contextlib.nullcontext():
                if thread.num != here.num:
                    thread.switch()
                value = self.by_name(name)
                if value is not None and value.address is not None:
                    at = task.tcb + int(value.address) - handle
                    return gdb.Value(at).cast(value.type.pointer()).dereference()
        return None

    @staticmethod
    def by_name(name):
        try:
            symbol = gdb.lookup_symbol(name)[0] or gdb.lookup_global_symbol(name) or gdb.lookup_static_symbol(name)
            return symbol.value() if symbol else gdb.parse_and_eval(name)
        except gdb.error:
            return None


gdb.unwinder.register_unwinder(None, TaskUnwinder(), replace=True)
gdb.frame_filters["libgrt"] = TaskFilter()
gdb.events.cont.connect(lambda event: set_view(None))
Grt()
Tasks()
TaskCommand()
Pin()
Pin("grt unpin", "grt_unlock_os_thread")
TaskId()
TaskVar()
