--  ada_program.adb - the program of ada.sh: rendezvous, protected objects, abort, asynchronous transfer of control, delays,
--  priorities, stack overflows and null pointers as exceptions.
with Ada.Text_IO; use Ada.Text_IO;
with Ada.Real_Time; use type Ada.Real_Time.Time;
with Ada.Dynamic_Priorities;
with System;
procedure Ada_Program is
   protected Counter is
      procedure Add (N : Integer);
      function Value return Integer;
      entry Full;
   private
      V : Integer := 0;
   end Counter;
   protected body Counter is
      procedure Add (N : Integer) is
      begin
         V := V + N;
      end Add;
      function Value return Integer is (V);
      entry Full when V >= 2000 is
      begin
         null;
      end Full;
   end Counter;

   task type Worker is
      entry Start (N : Integer);
   end Worker;
   task body Worker is
      M : Integer;
   begin
      accept Start (N : Integer) do
         M := N;
      end Start;
      for I in 1 .. 100 loop
         Counter.Add (M / M);
         delay 0.0;
      end loop;
   end Worker;

   task Server is
      entry Put (X : Integer);
      entry Get (X : out Integer);
      entry Stop;
   end Server;
   task body Server is
      Store : Integer := 0;
      Done  : Boolean := False;
   begin
      while not Done loop
         select
            accept Put (X : Integer) do
               Store := Store + X;
            end Put;
         or
            when Store > 0 => accept Get (X : out Integer) do
               X := Store;
            end Get;
         or
            accept Stop do
               Done := True;
            end Stop;
         or
            terminate;
         end select;
      end loop;
   end Server;

   task type Looper (Prio : System.Priority) with Priority => Prio;
   task body Looper is
      X : Long_Float := 1.0 with Volatile;
   begin
      loop
         X := X * 1.0000001;
         delay 0.0;
      end loop;
   end Looper;

   task type Sleeper;
   task body Sleeper is
   begin
      delay 1000.0;
   end Sleeper;

   function Depth (N : Integer) return Integer is
      A : array (1 .. 100) of Integer := (others => N) with Volatile;
   begin
      return (if N = 0 then 0 else Depth (N - 1) + A (5) + 1);
   end Depth;

   Caught : Integer := 0 with Atomic;
   task type Deep;
   task body Deep is
   begin
      Put_Line (Integer'Image (Depth (100_000_000)));
   exception
      when Storage_Error => Caught := Caught + 1;
   end Deep;

   task type Bad;
   task body Bad is
      P : access Integer := null with Volatile;
   begin
      P.all := 3;
   exception
      when Constraint_Error => Put_Line ("null access");
   end Bad;
begin
   declare
      W : array (1 .. 20) of Worker;
   begin
      for I in W'Range loop
         W (I).Start (I);
      end loop;
      Counter.Full;
   end;
   Put_Line ("counter" & Integer'Image (Counter.Value));
   declare
      X : Integer;
   begin
      for I in 1 .. 1000 loop
         Server.Put (I);
      end loop;
      Server.Get (X);
      Put_Line ("server" & Integer'Image (X));
      select
         delay 1000.0;
      then abort
         Server.Stop;
      end select;
      begin
         Server.Put (1);
      exception
         when Tasking_Error => Put_Line ("the server has ended");
      end;
   end;
   declare
      type Loops is access Looper;
      type Sleeps is access Sleeper;
      A : constant Loops := new Looper (5);
      B : constant Sleeps := new Sleeper;
      C : constant Loops := new Looper (20);
   begin
      delay 0.02;
      abort A.all, B.all, C.all;
      while not (A'Terminated and B'Terminated and C'Terminated) loop
         delay 0.001;
      end loop;
      Put_Line ("aborted");
   end;
   declare
      N : Integer := 0;
   begin
      for I in 1 .. 10 loop
         select
            delay 0.01;
            N := N + 1;
         then abort
            loop
               delay 0.0;
            end loop;
         end select;
      end loop;
      Put_Line ("transfers of control" & Integer'Image (N));
   end;
   declare
      task T is
         entry Never (X : Boolean);
         entry Quit;
      end T;
      task body T is
      begin
         select
            when Caught > 100 => accept Never (X : Boolean);
         or
            accept Quit;
         end select;
      end T;
      R : Integer := 0;
   begin
      select
         T.Never (True);
      or
         delay 0.02;
         R := 2;
      end select;
      select
         T.Never (True);
      else
         R := R + 20;
      end select;
      T.Quit;
      Put_Line ("timed calls" & Integer'Image (R));
   end;
   declare
      D : array (1 .. 3) of Deep;
   begin
      null;
   end;
   Put_Line ("overflows" & Integer'Image (Caught));
   declare
      B : Bad;
   begin
      null;
   end;
   declare
      Next : Ada.Real_Time.Time := Ada.Real_Time.Clock;
   begin
      for I in 1 .. 20 loop
         Next := Ada.Real_Time."+" (Next, Ada.Real_Time.Milliseconds (2));
         delay until Next;
      end loop;
      Put_Line ("periods " & Boolean'Image (Ada.Real_Time.Clock >= Next));
   end;
   Ada.Dynamic_Priorities.Set_Priority (10);
   Put_Line ("priority" & Integer'Image (Ada.Dynamic_Priorities.Get_Priority));
end Ada_Program;
