#!/bin/bash
# SBCL: threads, a collector that stops the others by signals, interrupts of threads that run or wait, a stack overflow in
# a thread, timeouts.
# PACKAGES: sbcl
. "$(dirname "$0")/common.sh"
need sbcl sbcl
cat >"$T/p.lisp" <<'SRC'
(defun threads (n f) (loop for i below n collect (let ((k i)) (sb-thread:make-thread (lambda () (funcall f k))))))
(defun join (list) (mapcar (lambda (th) (sb-thread:join-thread th :default :aborted)) list))

(let ((total 0) (lock (sb-thread:make-mutex)))
  (join (threads 16 (lambda (k)
    (let ((s 0))
      (dotimes (j 200) (incf s (length (make-list 1000 :initial-element k))))
      (when (= (mod k 4) 3) (sb-ext:gc))
      (sb-thread:with-mutex (lock) (incf total s))))))
  (format t "total ~a~%" total))

(let ((list (threads 8 (lambda (k) (dotimes (i 300 k) (make-array 20000))))))
  (dotimes (i 12) (sb-ext:gc :full (= i 7)))
  (format t "collected ~a~%" (join list)))

(let* ((up (sb-thread:make-semaphore))
       (list (threads 9 (lambda (k)
	 (sb-thread:signal-semaphore up)
	 (case (mod k 3)
	   (0 (loop))
	   (1 (sleep 1000))
	   (2 (sb-thread:wait-on-semaphore (sb-thread:make-semaphore))))))))
  (dotimes (i 9) (sb-thread:wait-on-semaphore up))
  (mapc #'sb-thread:terminate-thread list)
  (format t "terminated ~a~%" (join list)))

(let* ((m (sb-thread:make-mutex)) (q (sb-thread:make-waitqueue)) (turn 0)
       (list (threads 6 (lambda (k)
	 (dotimes (i 100 k)
	   (sb-thread:with-mutex (m)
	     (loop until (= turn k) do (sb-thread:condition-wait q m))
	     (setf turn (mod (1+ turn) 6))
	     (sb-thread:condition-broadcast q)))))))
  (format t "turns ~a~%" (join list)))

(defun deep (n) (+ 1 (deep (1+ n))))
(format t "overflow ~a~%" (join (threads 1 (lambda (k) (handler-case (deep k) (storage-condition () :caught))))))
(format t "timeout ~a~%" (handler-case (sb-ext:with-timeout 0.1 (loop (sleep 1))) (sb-ext:timeout () :caught)))
(format t "null ~a~%" (join (threads 2 (lambda (k) (handler-case (sb-sys:sap-ref-8 (sb-sys:int-sap k) 0) (error () :caught))))))
(format t "child ~a~%" (sb-ext:process-exit-code (sb-ext:run-program "/bin/sh" '("-c" "exit 5"))))
(sb-ext:exit :code 4)
SRC
both "$sbcl" --noinform --no-userinit --no-sysinit --disable-debugger --load "$T/p.lisp"
[ "$native_status" = 4 ] || fail "natively status $native_status"
grep -q '^overflow (CAUGHT)$' "$T/grt.out" || fail "wrong output: $(cat "$T/grt.out")"
threads_ok "sbcl"
